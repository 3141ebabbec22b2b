from __future__ import annotations

from functools import cmp_to_key
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import NodeError
from engine.expressions.evaluator import Evaluator
from tests.engine.nodes.running import codes, run


def rows(*values: Any) -> list[dict[str, Any]]:
    return [{"v": value, "at": at} for at, value in enumerate(values)]


async def order(params: dict[str, Any], evaluator: Evaluator | None = None) -> list[int]:
    return [row["at"] for row in (await run("sort", params, evaluator)).output["items"]]


async def test_field_sorts_ascending_and_keeps_equal_items_in_place() -> None:
    assert await order({"items": rows(2, 1, 2, 1), "sort_by": "v"}) == [1, 3, 0, 2]


async def test_descending_order_is_stable_too() -> None:
    assert await order({"items": rows(2, 1, 2, 1), "sort_by": "v", "order": "desc"}) == [0, 2, 1, 3]


async def test_nulls_go_last_in_either_order_and_first_when_asked() -> None:
    items = rows(None, 2, None, 1)
    assert await order({"items": items, "sort_by": "v"}) == [3, 1, 0, 2]
    assert await order({"items": items, "sort_by": "v", "order": "desc"}) == [1, 3, 0, 2]
    assert await order({"items": items, "sort_by": [{"by": "v", "nulls": "first"}]}) == [0, 2, 3, 1]
    assert await order({"items": items, "sort_by": "v", "nulls": "first", "order": "desc"}) == [0, 2, 1, 3]


async def test_item_without_the_field_counts_as_null() -> None:
    assert await order({"items": [{"at": 0}, {"at": 1, "v": 5}, {"at": 2, "v": None}], "sort_by": "v"}) == [1, 0, 2]


async def test_several_keys_each_with_its_own_order() -> None:
    items = [{"at": 0, "a": "x", "b": 1}, {"at": 1, "a": "y", "b": 2}, {"at": 2, "a": "x", "b": 3}]
    assert await order({"items": items, "sort_by": [{"by": "a", "order": "desc"}, {"by": "b"}]}) == [1, 0, 2]
    assert await order({"items": items, "sort_by": [{"by": "a"}, {"by": "b"}], "order": "desc"}) == [1, 2, 0]


async def test_dotted_field_and_expression(evaluator: Evaluator) -> None:
    items = [{"at": 0, "c": {"n": "bb"}}, {"at": 1, "c": {"n": "a"}}]
    assert await order({"items": items, "sort_by": "c.n"}) == [1, 0]
    assert await order({"items": items, "sort_by": "-len(item.c.n)"}, evaluator) == [0, 1]


async def test_scalars_sort_by_themselves(evaluator: Evaluator) -> None:
    assert (await run("sort", {"items": [3, 1, 2]}, evaluator)).output == {"items": [1, 2, 3]}


async def test_whole_and_broken_numbers_sort_together() -> None:
    assert await order({"items": rows(2.5, 2, 3), "sort_by": "v"}) == [1, 0, 2]


@pytest.mark.parametrize(
    ("values", "words"),
    [((1, "1"), "item 0 gives number and item 1 gives text"), ((1, True), "bool"), (([1], [2]), "item 0 gives list")],
)
async def test_kinds_without_a_common_order_are_an_error(values: tuple[Any, ...], words: str) -> None:
    with pytest.raises(NodeError, match=words) as caught:
        await run("sort", {"items": rows(*values), "sort_by": "v"})
    assert caught.value.code == "INVALID_CONFIG"


async def test_field_that_no_item_has_is_an_error() -> None:
    with pytest.raises(NodeError, match="no item has a field totl; the first has v, at"):
        await run("sort", {"items": rows(1), "sort_by": "totl"})


def test_empty_list_of_keys_is_an_issue() -> None:
    assert ("INVALID_PARAM", "params.sort_by") in codes("sort", {"sort_by": []})
    assert ("INVALID_PARAM", "params.sort_by[0].order") in codes("sort", {"sort_by": [{"by": "a", "order": "up"}]})


def compare(keys: list[dict[str, str]], left: dict[str, Any], right: dict[str, Any]) -> int:
    """The slow reference: one comparison of two rows, key by key."""
    for key in keys:
        a, b = left[key["by"]], right[key["by"]]
        if a == b:
            continue
        if a is None or b is None:
            return (1 if a is None else -1) * (-1 if key["nulls"] == "first" else 1)
        return (-1 if a < b else 1) * (-1 if key["order"] == "desc" else 1)
    return 0


KEY = st.fixed_dictionaries(
    {
        "by": st.sampled_from("abc"),
        "order": st.sampled_from(["asc", "desc"]),
        "nulls": st.sampled_from(["first", "last"]),
    }
)
VALUE = st.none() | st.integers(0, 4)


@settings(max_examples=200, deadline=None)
@given(
    items=st.lists(st.fixed_dictionaries({"a": VALUE, "b": VALUE, "c": VALUE}), max_size=30),
    keys=st.lists(KEY, min_size=1, max_size=3),
)
async def test_same_as_a_sort_by_comparisons(items: list[dict[str, Any]], keys: list[dict[str, str]]) -> None:
    expected = sorted(items, key=cmp_to_key(lambda a, b: compare(keys, a, b)))
    assert (await run("sort", {"items": items, "sort_by": keys})).output["items"] == expected
