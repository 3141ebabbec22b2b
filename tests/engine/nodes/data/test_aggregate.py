from __future__ import annotations

import statistics
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import NodeError
from engine.expressions.evaluator import Evaluator
from tests.engine.nodes.running import codes, run

ORDERS = [
    {"country": "DE", "total": 10, "who": "a"},
    {"country": "FR", "total": 2.5, "who": "b"},
    {"country": "DE", "total": None, "who": "a"},
    {"country": None, "total": 4, "who": "c"},
    {"country": "DE", "total": 5, "who": "d"},
]


async def figure(function: str, values: list[Any]) -> Any:
    params = {"items": [{"v": v} for v in values], "aggregations": {"f": {"function": function, "field": "v"}}}
    (group,) = (await run("aggregate", params)).output["groups"]
    return group["f"]


async def test_groups_come_in_first_seen_order_with_their_figures() -> None:
    params = {
        "items": ORDERS,
        "group_by": ["country"],
        "aggregations": {
            "orders": {"function": "count"},
            "paid": {"function": "count", "field": "total"},
            "sum": {"function": "sum", "field": "total"},
            "who": {"function": "distinct", "field": "who"},
        },
    }
    assert (await run("aggregate", params)).output["groups"] == [
        {"country": "DE", "orders": 3, "paid": 2, "sum": 15, "who": ["a", "d"]},  # 10 + 5
        {"country": "FR", "orders": 1, "paid": 1, "sum": 2.5, "who": ["b"]},
        {"country": None, "orders": 1, "paid": 1, "sum": 4, "who": ["c"]},
    ]


async def test_expressions_name_groups_and_fields(evaluator: Evaluator) -> None:
    params = {
        "items": [
            {"date": "2012-01-05", "high": 3},
            {"date": "2012-07-05", "high": 30},
            {"date": "2013-01-01", "high": 1},
        ],
        "group_by": {"year": "{{ item.date[:4] }}"},
        "aggregations": {"top": {"function": "max", "field": "item.high * 2"}, "n": {"function": "sum", "field": 1}},
    }
    assert (await run("aggregate", params, evaluator)).output["groups"] == [
        {"year": "2012", "top": 60, "n": 2},
        {"year": "2013", "top": 2, "n": 1},
    ]


@pytest.mark.parametrize(
    ("function", "values", "expected"),
    [
        ("sum", [1, None, 2], 3),
        ("sum", [0.1] * 10, 1.0),  # a plain sum gives 0.9999999999999999
        ("sum", [], None),
        ("sum", [2**62, 2**62 - 1], 2**63 - 1),  # exact, where floats would round
        ("avg", [1, None, 2], 1.5),
        ("avg", [None], None),
        ("count", [1, None, 2], 2),
        ("min", ["b", "a", None], "a"),
        ("max", [1, 2.5], 2.5),
        ("max", [None], None),
        ("first", [None, 7, 8], 7),
        ("last", [7, 8, None], 8),
        ("last", [], None),
        ("collect", [3, None, 3], [3, 3]),
        ("distinct", [1, 1.0, True, "1", [1], [1]], [1, True, "1", [1]]),
        ("median", [3, 1, 2], 2),
        ("median", [4, 1, 3, 2], 2.5),  # (2 + 3) / 2
        ("median", [], None),
        ("stddev", [2, 4, 4, 4, 5, 5, 7, 9], 2.138089935299395),  # sqrt(32 / 7)
        ("stddev", [1], None),
    ],
)
async def test_figures(function: str, values: list[Any], expected: Any) -> None:
    found = await figure(function, values)
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize("function", ["sum", "avg", "median", "stddev"])
@pytest.mark.parametrize("value", ["12", True, [1], {"a": 1}])
async def test_what_is_no_number_is_an_error_that_names_the_item(function: str, value: Any) -> None:
    with pytest.raises(NodeError, match=f"aggregations.f: {function} needs numbers and item 1 gives") as caught:
        await figure(function, [1, value])
    assert caught.value.code == "INVALID_CONFIG"


async def test_extremes_of_mixed_kinds_are_an_error() -> None:
    with pytest.raises(NodeError, match="item 0 gives number, item 1 gives text"):
        await figure("min", [1, "a"])


async def test_sum_past_64_bits_is_an_error() -> None:
    with pytest.raises(NodeError, match="too large"):
        await figure("sum", [2**63 - 1, 1])
    with pytest.raises(NodeError, match="too large"):
        await figure("sum", [1.7e308, 1.7e308])


async def test_without_groups_all_items_are_one_even_if_there_are_none() -> None:
    params = {"items": [], "aggregations": {"n": {"function": "count"}, "s": {"function": "sum", "field": "x"}}}
    assert (await run("aggregate", params)).output["groups"] == [{"n": 0, "s": None}]
    assert (await run("aggregate", {**params, "group_by": ["x"]})).output["groups"] == []


async def test_groups_of_different_json_kinds_stay_apart() -> None:
    params = {"items": [{"k": k} for k in (1, True, 1.0, "1", None, [1], False, 0)], "group_by": "k"}
    groups = (await run("aggregate", params)).output["groups"]
    assert [group["k"] for group in groups] == [1, True, "1", None, [1], False, 0]


def test_mistakes_are_issues() -> None:
    assert codes("aggregate", {"aggregations": {"s": {"function": "sum"}}}) == [
        ("INVALID_PARAM", "params.aggregations.s")
    ]
    assert codes("aggregate", {"group_by": ["item.x + 1"]}) == [("INVALID_PARAM", "params.group_by")]
    clash = {"group_by": ["n"], "aggregations": {"n": {"function": "count"}}}
    assert codes("aggregate", clash) == [("INVALID_PARAM", "params")]


NUMBER = st.none() | st.integers(-(10**6), 10**6)


@settings(max_examples=200, deadline=None)
@given(items=st.lists(st.fixed_dictionaries({"k": st.sampled_from(["a", "b", None]), "v": NUMBER}), max_size=40))
async def test_same_as_a_slow_loop_over_each_group(items: list[dict[str, Any]]) -> None:
    names = ("sum", "avg", "count", "min", "max", "first", "last", "collect", "median", "stddev")
    params = {
        "items": items,
        "group_by": ["k"],
        "aggregations": {name: {"function": name, "field": "v"} for name in names},
    }
    expected: list[dict[str, Any]] = []
    for key in dict.fromkeys(item["k"] for item in items):
        values = [item["v"] for item in items if item["k"] == key and item["v"] is not None]
        expected.append(
            {
                "k": key,
                "sum": sum(values) if values else None,
                "avg": pytest.approx(statistics.fmean(values)) if values else None,
                "count": len(values),
                "min": min(values, default=None),
                "max": max(values, default=None),
                "first": values[0] if values else None,
                "last": values[-1] if values else None,
                "collect": values,
                "median": statistics.median(values) if values else None,
                "stddev": pytest.approx(statistics.stdev(values)) if len(values) > 1 else None,
            }
        )
    assert (await run("aggregate", params)).output["groups"] == expected
