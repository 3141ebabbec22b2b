from __future__ import annotations

from typing import Any

import pytest

from engine.errors import NodeError
from tests.engine.nodes.running import opened


@pytest.mark.parametrize(
    ("delay", "seconds"), [("250ms", 0.25), ("30s", 30.0), ("1h30m", 5400.0), ("PT1M", 60.0), ("2d", 172800.0)]
)
async def test_fixed_delay_gives_seconds(delay: str, seconds: float) -> None:
    assert await opened("delay", {"delay": delay}) == {"duration_s": seconds}


@pytest.mark.parametrize(
    ("moment", "until"),
    [
        ("2026-01-31T08:00:00Z", "2026-01-31T08:00:00+00:00"),
        ("2026-01-31T08:00:00+02:00", "2026-01-31T06:00:00+00:00"),
        ("2026-01-31T08:00:00", "2026-01-31T08:00:00+00:00"),
        ("2026-01-31", "2026-01-31T00:00:00+00:00"),
        (0, "1970-01-01T00:00:00+00:00"),
        (1.5, "1970-01-01T00:00:01.500000+00:00"),
    ],
)
async def test_until_gives_a_time_in_utc(moment: Any, until: str) -> None:
    assert await opened("delay", {"delay_type": "until", "delay": moment}) == {"until": until}


@pytest.mark.parametrize(
    ("kind", "delay"),
    [("fixed", "soon"), ("fixed", 30), ("fixed", "30"), ("fixed", "-5s"), ("fixed", "11000d"),
     ("until", "soon"), ("until", "9999-01-01T00:00:00Z"), ("until", 1e300)],
)  # fmt: skip
async def test_what_is_no_time_is_invalid(kind: str, delay: Any) -> None:
    with pytest.raises(NodeError, match="delay: ") as caught:
        await opened("delay", {"delay_type": kind, "delay": delay})
    assert caught.value.code == "INVALID_CONFIG"
