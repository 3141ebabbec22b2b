from __future__ import annotations

import pytest

from engine.nodes.messaging.moments import iso_moment


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, None),
        (0.0, "1970-01-01T00:00:00.000Z"),
        (1_700_000_000.5, "2023-11-14T22:13:20.500Z"),
        (-1.0, "1969-12-31T23:59:59.000Z"),
        (1e15, None),
        (float("nan"), None),
        (float("inf"), None),
    ],
)
def test_moment_is_iso_text_or_nothing(seconds: float | None, text: str | None) -> None:
    assert iso_moment(seconds) == text
