from __future__ import annotations

from datetime import UTC, datetime

import pytest

from engine.nodes.outbound.answers import retry_after_s, status_ranges

NOW = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("header", "wait"),
    [
        ("120", 120.0),
        ("0", 0.0),
        ("Sat, 31 Jan 2026 12:01:30 GMT", 90.0),
        ("Sat, 31 Jan 2026 11:00:00 GMT", 0.0),  # past
        ("99999999999999", 86_400.0),  # a day at most
        ("", None),
        ("soon", None),
        ("-5", None),
        ("1.5", None),
        ("٣", None),
    ],
)
def test_retry_after(header: str, wait: float | None) -> None:
    assert retry_after_s(header, NOW) == wait


def test_status_rules() -> None:
    assert status_ranges(["2xx", 404, "300 - 302,418"]) == [
        range(200, 300),
        range(404, 405),
        range(300, 303),
        range(418, 419),
    ]


@pytest.mark.parametrize("rule", ["6xx", "20x", "", "200-", 99, "2xx-3xx", "600"])
def test_what_is_no_rule_is_refused(rule: str | int) -> None:
    with pytest.raises(ValueError, match="no rule for a status"):
        status_ranges([rule])
