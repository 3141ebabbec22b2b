from __future__ import annotations

import pytest

from engine.nodes.messaging.names import checked_header_name, checked_name, header_texts


@pytest.mark.parametrize("name", ["", "a\r\nPUB x 1", "a\x00", "x" * 256, "ä" * 128])
def test_name_that_no_broker_carries_is_refused(name: str) -> None:
    with pytest.raises(ValueError):
        checked_name(name)


def test_other_names_pass() -> None:
    assert [checked_name(name) for name in ("orders", "a.b.*", "größe", "x" * 255)]


@pytest.mark.parametrize("name", ["", "a b", "a:b", "a\n", "x" * 129, "Content-Type", "message_id", "CC", "bcc",
                                  "Nats-Rollup", "nats-msg-id"])  # fmt: skip
def test_header_name_that_means_something_to_a_broker_is_refused(name: str) -> None:
    with pytest.raises(ValueError):
        checked_header_name(name)


def test_headers_become_text_without_those_that_are_null() -> None:
    assert header_texts({"a": "x", "b": 1, "c": 1.5, "d": True, "e": None}) == {
        "a": "x", "b": "1", "c": "1.5", "d": "true",
    }  # fmt: skip


@pytest.mark.parametrize("headers", [{"a": "x\r\nb: y"}, {"a": "x" * 40_000}])
def test_header_values_that_break_out_or_are_too_long_are_refused(headers: dict[str, str]) -> None:
    with pytest.raises(ValueError):
        header_texts(headers)
