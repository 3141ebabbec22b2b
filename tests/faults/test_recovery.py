"""The limit on recoveries, by hand: 20 s, or 40 s for as many as there are nodes that lost two workers."""

from __future__ import annotations

import pytest

from tests.faults.kill_workers import slow_recoveries


@pytest.mark.parametrize(
    ("recoveries", "lost_twice", "problems"),
    [
        ([11.9, 19.9], 0, 0),
        ([11.9, 23.0], 0, 1),
        ([11.9, 23.0], 1, 0),
        ([23.0, 24.0], 1, 2),  # one of the two has no second loss behind it
        ([41.0], 3, 1),
    ],
)
def test_recovery_past_the_limit_needs_a_second_loss(recoveries: list[float], lost_twice: int, problems: int) -> None:
    assert len(slow_recoveries(recoveries, lost_twice=lost_twice)) == problems
