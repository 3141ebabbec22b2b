from __future__ import annotations

from typing import Any

import pytest

from engine.errors import NodeError
from tests.engine.nodes.running import codes, opened

BODY = {"nodes": [{"id": "a", "type": "transform"}]}


async def test_foreach_opens_with_its_items() -> None:
    data = await opened(
        "loop", {"loop_type": "foreach", "items": [1, 2], "concurrency": 5, "break_condition": "last > 1"}
    )
    assert data == {
        "items": [1, 2],
        "count": None,
        "max_iterations": 1000,
        "concurrency": 5,
        "on_item_error": "fail",
        "condition": None,
        "break_condition": "last > 1",
    }


async def test_foreach_takes_the_upstream_list() -> None:
    assert (await opened("loop", {"loop_type": "foreach"}, upstream={"items": ["a"]}))["items"] == ["a"]


async def test_for_and_while_open_with_count_and_condition() -> None:
    counted = await opened("loop", {"loop_type": "for", "count": 3})
    assert (counted["count"], counted["items"]) == (3, None)
    endless = await opened("loop", {"loop_type": "while", "condition": "{{ index < 3 }}"})
    assert (endless["count"], endless["items"], endless["condition"]) == (None, None, "{{ index < 3 }}")


@pytest.mark.parametrize("params", [{"loop_type": "foreach", "items": [0] * 6}, {"loop_type": "for", "count": 6}])
async def test_more_passes_than_allowed_are_refused_before_the_first(params: dict[str, Any]) -> None:
    with pytest.raises(NodeError, match="6 passes are more than max_iterations") as caught:
        await opened("loop", {**params, "max_iterations": 5})
    assert caught.value.code == "RESOURCE_EXHAUSTED"
    assert await opened("loop", {**params, "max_iterations": 6})


@pytest.mark.parametrize(
    ("params", "place"),
    [
        ({"loop_type": "for"}, "params"),
        ({"loop_type": "while"}, "params"),
        ({"loop_type": "while", "condition": True, "concurrency": 2}, "params"),
        ({"loop_type": "foreach", "condition": "x"}, "params"),
        ({"loop_type": "until"}, "params.loop_type"),
        ({"loop_type": "for", "count": 1, "concurrency": 0}, "params.concurrency"),
        ({"loop_type": "for", "count": "three"}, "params.count"),
    ],
)
def test_mistakes_are_issues(params: dict[str, Any], place: str) -> None:
    assert codes("loop", {**params, "body": BODY}) == [("INVALID_PARAM", place)]


def test_loop_type_must_be_a_constant() -> None:
    assert ("INVALID_PARAM", "params.loop_type") in codes("loop", {"loop_type": "{{ input.t }}", "body": BODY})
