from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.errors import NodeError
from engine.expressions.evaluator import Evaluator
from tests.engine.nodes.running import run

ORDERS = [{"id": 1, "total": 50}, {"id": 2, "total": 150}, {"id": 3, "total": 100}]


async def test_items_for_which_the_condition_holds_are_kept_in_order(evaluator: Evaluator) -> None:
    params = {"items": ORDERS, "condition": "{{ item.total >= input.least }}"}
    result = await run("filter", params, evaluator, scope={"input": {"least": 100}})
    assert result.output == {"items": [ORDERS[1], ORDERS[2]], "dropped": 1}


async def test_drop_takes_them_out(evaluator: Evaluator) -> None:
    result = await run("filter", {"items": ORDERS, "condition": "item.id == 2", "filter_type": "drop"}, evaluator)
    assert result.output == {"items": [ORDERS[0], ORDERS[2]], "dropped": 1}


async def test_index_is_in_scope(evaluator: Evaluator) -> None:
    assert (await run("filter", {"items": ORDERS, "condition": "index > 0"}, evaluator)).output["dropped"] == 1


@pytest.mark.parametrize(("condition", "kept"), [(True, 3), (False, 0)])
async def test_constant_condition_needs_no_evaluator(condition: bool, kept: int) -> None:
    assert len((await run("filter", {"items": ORDERS, "condition": condition})).output["items"]) == kept


async def test_items_default_to_the_upstream_list_or_its_items(evaluator: Evaluator) -> None:
    for upstream in (ORDERS, {"items": ORDERS, "dropped": 0}):
        result = await run("filter", {"condition": "item.total > 60"}, evaluator, upstream=upstream)
        assert result.output["dropped"] == 1


@pytest.mark.parametrize("upstream", [None, 3, "text", {"rows": []}, {"items": "x"}, {"items": None}])
async def test_upstream_that_holds_no_list_is_invalid(evaluator: Evaluator, upstream: Any) -> None:
    with pytest.raises(NodeError) as caught:
        await run("filter", {"condition": "item"}, evaluator, upstream=upstream)
    assert caught.value.code == "INVALID_CONFIG"


async def test_error_names_the_parameter_and_the_item(evaluator: Evaluator) -> None:
    with pytest.raises(NodeError) as caught:
        await run("filter", {"items": [{"a": 1}, {"a": "x"}], "condition": "item.a + 1 > 0"}, evaluator)
    assert caught.value.code == "EXPRESSION_ERROR"
    assert caught.value.message.startswith("condition, item 1: ")
    assert caught.value.details["index"] == 1


async def test_missing_key_is_an_error_and_names_the_keys(evaluator: Evaluator) -> None:
    with pytest.raises(NodeError, match="totl"):
        await run("filter", {"items": ORDERS, "condition": "item.totl"}, evaluator)


async def test_empty_list_gives_an_empty_list(evaluator: Evaluator) -> None:
    assert (await run("filter", {"items": [], "condition": "item.x"}, evaluator)).output == {"items": [], "dropped": 0}


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(st.fixed_dictionaries({"n": st.integers(-20, 20)}), max_size=60), least=st.integers(-20, 20))
async def test_same_as_a_plain_comprehension(evaluator: Evaluator, rows: list[dict[str, int]], least: int) -> None:
    scope = {"input": {"least": least}}
    kept = (await run("filter", {"items": rows, "condition": "item.n >= input.least"}, evaluator, scope=scope)).output
    assert kept["items"] == [row for row in rows if row["n"] >= least]
    assert kept["dropped"] == len([row for row in rows if row["n"] < least])
