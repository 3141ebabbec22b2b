"""What a node gives holds no secret of its credential, and is otherwise left as it is."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from engine.activities.secrecy import _without  # pyright: ignore[reportPrivateUsage]  # the rest needs a whole worker
from engine.nodes.base import NodeResult
from engine.nodes.outbound.redaction import MASK, Redaction

SECRET = 'canary-4711/+é"x'


def given(output: Any, *secrets: str, **more: Any) -> NodeResult:
    return _without(NodeResult(output, **more), list(secrets or (SECRET,)))


@pytest.mark.parametrize(
    "echo",
    [
        SECRET,
        f"Bearer {SECRET}",
        json.dumps({"authorization": SECRET}),
        base64.b64encode(f"user:{SECRET}".encode()).decode(),
        base64.b64encode(f"users:{SECRET}:".encode()).decode(),
        base64.b64encode(f"someone:{SECRET}::".encode()).decode(),
        "canary-4711%2F%2B%C3%A9%22x",
    ],
)
def test_every_form_is_masked_wherever_it_stands(echo: str) -> None:
    result = given({"list": [{"deep": echo}], echo: 1, "n": 2**80})
    assert not Redaction([SECRET]).is_in(json.dumps(result.output, ensure_ascii=False).encode())
    assert MASK in repr(result.output)
    assert result.output["n"] == 2**80


@pytest.mark.parametrize("before", [b"", b"\x00", b"\x00\x01", b"\x00\x01\xff"])
def test_bytes_are_masked_inside_their_base64(before: bytes) -> None:
    output = {"body": {"base64": base64.b64encode(before + SECRET.encode() + b"\x00after").decode()}}
    content = base64.b64decode(given(output).output["body"]["base64"])
    assert content == before + MASK.encode() + b"\x00after"


def test_port_data_is_masked_too() -> None:
    result = given(1, port_data=[SECRET], has_port_data=True)
    assert result.port_data == [MASK]


@pytest.mark.parametrize("output", [None, 5, "text", {"base64": "AAAA"}, {"base64": "no base64!"}, [{"a": 2**70}], {}])
def test_output_without_a_secret_is_the_same(output: Any) -> None:
    assert given(output).output == output


def test_output_without_a_secret_is_not_even_copied() -> None:
    result = NodeResult({"rows": [1, 2, 3]})
    assert _without(result, [SECRET]) is result


def test_short_secret_leaves_data_alone() -> None:
    assert given({"user": "postgres"}, "postgres").output == {"user": "postgres"}


def test_secret_of_a_few_letters_is_taken_out_of_errors() -> None:
    assert Redaction(["abcd"]).text("sent abcd") == f"sent {MASK}"
    assert Redaction(["abc"]).text("sent abc") == "sent abc"


def test_chance_likeness_within_base64_is_left_alone() -> None:
    words = [base64.b64encode(bytes([n, n + 1, n + 2])).decode() for n in range(200)]
    assert Redaction(["abcdefg"]).data(words) == words
