"""The limit on recoveries, by hand: 20 s, and 20 s more for each try of that node that was lost before it called."""

from __future__ import annotations

import pytest

from tests.faults.effects import Call
from tests.faults.kill_workers import slow_recoveries


def cut_and_repeated(key: str, seconds: float) -> list[Call]:
    cut = Call(key, "GET", "/", "", started_at=0.0, ended_at=1.0, cut=True)
    return [cut, Call(key, "GET", "/", "", started_at=1.0 + seconds, ended_at=2.0 + seconds)]


@pytest.mark.parametrize(
    ("seconds", "tries", "problems"),
    [
        (19.9, {"a": 2}, 0),
        (23.0, {"a": 2}, 1),  # two calls, two tries: no try was lost before it called
        (23.0, {"a": 3}, 0),  # one was
        (23.0, {"a": 2, "b": 3}, 1),  # another node's loss excuses nothing
        (41.0, {"a": 3}, 1),
    ],
)
def test_recovery_past_the_limit_needs_a_second_loss_of_that_node(
    seconds: float, tries: dict[str, int], problems: int
) -> None:
    assert len(slow_recoveries(cut_and_repeated("a", seconds), tries)) == problems
