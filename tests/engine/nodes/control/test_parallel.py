from __future__ import annotations

from typing import Any

import pytest

from tests.engine.nodes.running import codes, opened

BRANCHES = [{"id": "a", "nodes": []}, {"id": "b", "nodes": []}]


@pytest.mark.parametrize("wait", ["all", "any", 2])
async def test_open_gives_how_long_to_wait_and_for_how_many(wait: Any) -> None:
    assert await opened("parallel", {"wait": wait, "timeout": "5m"}) == {"wait": wait, "timeout_s": 300.0}
    assert await opened("parallel", {}) == {"wait": "all", "timeout_s": None}


def test_branches_are_needed() -> None:
    assert codes("parallel", {}) == [("MISSING_PARAM", "params.branches")]
    assert codes("parallel", {"branches": []}) == [("INVALID_PARAM", "params.branches")]


def test_more_successes_than_branches_are_out_of_reach() -> None:
    assert codes("parallel", {"branches": BRANCHES, "wait": 2}) == []
    assert codes("parallel", {"branches": BRANCHES, "wait": 3}) == [("INVALID_PARAM", "params")]
    assert codes("parallel", {"branches": BRANCHES, "wait": 0}) == [("INVALID_PARAM", "params.wait")]
