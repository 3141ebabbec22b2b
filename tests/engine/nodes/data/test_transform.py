from __future__ import annotations

from typing import Any

import pytest

from engine.errors import NodeError
from tests.engine.nodes.running import codes, run


async def apply(data: Any, *rules: dict[str, Any]) -> Any:
    return (await run("transform", {"rules": list(rules)}, upstream=data)).output


async def test_mapping_is_the_output() -> None:
    assert (await run("transform", {"mapping": {"a": [1, {"b": None}]}})).output == {"a": [1, {"b": None}]}


async def test_rules_act_in_order_and_leave_the_upstream_output_alone() -> None:
    upstream = {"temp": "12.5", "internal": 1}
    output = await apply(
        upstream,
        {"op": "rename", "path": "temp", "value": "high"},
        {"op": "cast", "path": "high", "value": "float"},
        {"op": "default", "path": "unit", "value": "C"},
        {"op": "set", "path": "place.city", "value": {"name": "Seattle"}},
        {"op": "remove", "path": "internal"},
    )
    assert output == {"high": 12.5, "unit": "C", "place": {"city": {"name": "Seattle"}}}
    assert upstream == {"temp": "12.5", "internal": 1}


async def test_star_stands_for_every_member() -> None:
    rows = [{"n": "1"}, {"n": None}, {}]
    assert await apply(rows, {"op": "cast", "path": "[*].n", "value": "int"}) == [{"n": 1}, {"n": None}, {}]
    assert await apply({"rows": rows}, {"op": "default", "path": "rows[*].n", "value": 0}) == {
        "rows": [{"n": "1"}, {"n": 0}, {"n": 0}]
    }
    assert await apply({"a": [1, 2, 3]}, {"op": "remove", "path": "a[*]"}) == {"a": []}


async def test_index_and_quoted_key() -> None:
    data = {"odd key": [{"x": 1}, {"x": 2}]}
    assert await apply(data, {"op": "set", "path": '["odd key"][-1].x', "value": 9}) == {
        "odd key": [{"x": 1}, {"x": 9}]
    }


async def test_rename_keeps_the_place_among_the_keys() -> None:
    output = await apply({"a": 1, "b": 2, "c": 3}, {"op": "rename", "path": "b", "value": "z"})
    assert list(output) == ["a", "z", "c"]


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        ("int", " 42 ", 42),
        ("int", 42.0, 42),
        ("float", "1e3", 1000.0),
        ("str", 1.5, "1.5"),
        ("str", {"a": [1]}, '{"a":[1]}'),
        ("bool", "Yes", True),
        ("bool", 0, False),
        ("date", "2012-01-31T23:00:00+02:00", "2012-01-31"),
        ("date", "2012/01/31", "2012-01-31"),
        ("datetime", "2012-01-31", "2012-01-31T00:00:00+00:00"),
        ("datetime", 0, "1970-01-01T00:00:00+00:00"),
        ("json", '{"a": 1}', {"a": 1}),
    ],
)
async def test_casts(kind: str, value: Any, expected: Any) -> None:
    output = await apply({"v": value}, {"op": "cast", "path": "v", "value": kind})
    assert output == {"v": expected}
    assert type(output["v"]) is type(expected)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("int", "1.5"), ("int", 1.5), ("int", "1_000"), ("int", "٣"), ("int", "9" * 30), ("int", [1]),
        ("float", "NaN"), ("float", "1e999"), ("float", "abc"), ("bool", "maybe"), ("bool", 2),
        ("date", "yesterday"), ("date", "2012-02-31"), ("date", "31/01/2012"),
        ("date", "1/31/2012"), ("json", "{"), ("json", "NaN"), ("json", 3),
    ],
)  # fmt: skip
async def test_cast_that_would_lose_something_is_an_error_without_the_value(kind: str, value: Any) -> None:
    with pytest.raises(NodeError, match=r"rules\[0\] \(cast v\): v cannot become") as caught:
        await apply({"v": value}, {"op": "cast", "path": "v", "value": kind})
    assert caught.value.code == "INVALID_CONFIG"


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ({"op": "rename", "path": "x", "value": "y"}, "the input has no x; its keys are: a, b"),
        ({"op": "cast", "path": "a.b.c", "value": "int"}, "a.b is list"),
        ({"op": "rename", "path": "a", "value": "b"}, "there is a b already"),
        ({"op": "set", "path": "a.b[9]", "value": 1}, "a.b is list and has no"),
        ({"op": "set", "path": "b.c", "value": 1}, "b is number"),
    ],
)
async def test_path_that_leads_nowhere_is_explained(rule: dict[str, Any], words: str) -> None:
    with pytest.raises(NodeError, match=words):
        await apply({"a": {"b": []}, "b": 1}, rule)


async def test_remove_of_what_is_not_there_does_nothing() -> None:
    assert await apply({"a": 1}, {"op": "remove", "path": "x.y[3]"}) == {"a": 1}


@pytest.mark.parametrize("path", ["", ".", "a..b", "a[", "a[x]", "a[1", "a b", "x" * 1001])
def test_malformed_path_is_an_issue(path: str) -> None:
    assert [code for code, _ in codes("transform", {"rules": [{"op": "remove", "path": path}]})] == ["INVALID_PARAM"]


def test_exactly_one_of_mapping_and_rules_is_needed_even_under_templates() -> None:
    assert codes("transform", {}) == [("INVALID_PARAM", "params")]
    assert codes("transform", {"mapping": "{{ input }}", "rules": []}) == [("INVALID_PARAM", "params")]


def test_rule_without_what_it_needs_is_an_issue() -> None:
    rules = [{"op": "set", "path": "a"}, {"op": "cast", "path": "a", "value": "number"}, {"op": "rename", "path": "a"}]
    assert codes("transform", {"rules": rules}) == [("INVALID_PARAM", f"params.rules[{at}]") for at in range(3)]
