from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.errors import NodeError
from engine.expressions.evaluator import Evaluator
from tests.engine.nodes.running import codes, run

ROWS = [{"name": "ada", "net": 10}, {"name": "bo", "net": 20}]


async def test_one_expression_gives_one_value_an_item(evaluator: Evaluator) -> None:
    assert (await run("map", {"items": ROWS, "mapping_expression": "item.name.upper()"}, evaluator)).output == {
        "items": ["ADA", "BO"]
    }


async def test_object_of_expressions_gives_objects_of_any_depth(evaluator: Evaluator) -> None:
    shape = {"who": "item.name", "sums": [1, "item.net * vars.rate"], "at": {"place": "index + 1"}, "fixed": "'x'"}
    result = await run("map", {"items": ROWS, "mapping_expression": shape}, evaluator, scope={"vars": {"rate": 2}})
    assert result.output["items"] == [
        {"who": "ada", "sums": [1, 20], "at": {"place": 1}, "fixed": "x"},
        {"who": "bo", "sums": [1, 40], "at": {"place": 2}, "fixed": "x"},
    ]


@pytest.mark.parametrize(("shape", "each"), [({}, {}), ([], []), (None, None), (7, 7)])
async def test_shape_without_expressions_is_repeated(shape: object, each: object) -> None:
    assert (await run("map", {"items": ROWS, "mapping_expression": shape})).output["items"] == [each, each]


async def test_error_names_the_member_that_fails(evaluator: Evaluator) -> None:
    with pytest.raises(NodeError) as caught:
        await run("map", {"items": ROWS, "mapping_expression": {"a": {"b": "item.net / (item.net - 20)"}}}, evaluator)
    assert caught.value.message.startswith("mapping_expression.a.b, item 1: ")


def test_expression_is_required() -> None:
    assert codes("map", {"items": []}) == [("MISSING_PARAM", "params.mapping_expression")]


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(numbers=st.lists(st.integers(-1000, 1000), max_size=50))
async def test_same_as_a_plain_comprehension(evaluator: Evaluator, numbers: list[int]) -> None:
    params = {"items": numbers, "mapping_expression": {"double": "item * 2", "at": "index"}}
    expected = [{"double": number * 2, "at": at} for at, number in enumerate(numbers)]
    assert (await run("map", params, evaluator)).output["items"] == expected
