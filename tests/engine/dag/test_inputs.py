from typing import Any

import pytest

from engine.dag.document import parse_spec
from engine.dag.inputs import check_input
from engine.dag.spec import WorkflowSpec
from engine.errors import Issue, ValidationFailed


def spec(schema: dict[str, Any]) -> WorkflowSpec:
    return parse_spec({"name": "x", "inputs": schema, "nodes": [{"id": "a", "type": "manual"}]})


def faults(schema: dict[str, Any], data: Any) -> list[Issue]:
    with pytest.raises(ValidationFailed) as failure:
        check_input(spec(schema), data)
    return failure.value.issues


ORDER = {
    "type": "object",
    "properties": {
        "min_total": {"type": "number", "default": 100},
        "page": {"type": "object", "default": {}, "properties": {"size": {"default": 10}}},
        "lines": {"type": "array", "items": {"$ref": "#/$defs/line"}},
    },
    "required": ["lines"],
    "additionalProperties": False,
    "$defs": {"line": {"type": "object", "properties": {"count": {"type": "integer", "default": 1}}}},
}


def test_defaults_are_filled_in_at_any_depth_and_the_data_given_stay_as_they_are() -> None:
    given = {"lines": [{}, {"count": 2}]}
    assert check_input(spec(ORDER), given) == {
        "lines": [{"count": 1}, {"count": 2}],
        "min_total": 100,
        "page": {"size": 10},
    }
    assert given == {"lines": [{}, {"count": 2}]}


def test_every_fault_has_its_path() -> None:
    found = faults(ORDER, {"min_total": "x", "lines": [{"count": 1.5}], "extra": 1})
    assert {(issue.code, issue.path) for issue in found} == {
        ("INVALID_INPUT", "input.min_total"),
        ("INVALID_INPUT", "input.lines[0].count"),
        ("UNKNOWN_INPUT", "input.extra"),
    }
    assert [(issue.code, issue.path) for issue in faults(ORDER, {})] == [("MISSING_INPUT", "input.lines")]


def test_no_schema_takes_anything_and_no_input_is_empty() -> None:
    assert check_input(spec({}), {"any": [1]}) == {"any": [1]}
    assert check_input(spec({}), None) == {}


def test_messages_do_not_show_the_data() -> None:
    assert "hunter2" not in faults({"properties": {"a": {"pattern": "^x$"}}}, {"a": "hunter2"})[0].message


def test_a_pattern_that_explodes_elsewhere_takes_linear_time() -> None:
    schema = {"properties": {"a": {"pattern": "^(a+)+$"}}, "patternProperties": {"^(b+)+$": {"type": "string"}}}
    assert [issue.path for issue in faults(schema, {"a": "a" * 5000 + "!", "b" * 5000 + "!": 3, "bb": 3})] == [
        "input.a",
        "input.bb",
    ]


def test_keys_that_match_a_pattern_are_no_additional_ones() -> None:
    schema = {"patternProperties": {"^x_": {}}, "properties": {"a": {}}, "additionalProperties": {"type": "integer"}}
    assert check_input(spec(schema), {"x_1": "t", "a": "t", "n": 1}) == {"x_1": "t", "a": "t", "n": 1}
    assert [issue.path for issue in faults(schema, {"n": "t"})] == ["input.n"]


def test_unique_items_knows_that_1_is_1_0_and_true_is_not() -> None:
    schema = {"properties": {"a": {"uniqueItems": True}}}
    assert check_input(spec(schema), {"a": [1, True, "1", {"x": 1}]})
    assert faults(schema, {"a": [{"x": 1, "y": 2}, {"y": 2, "x": 1.0}]})[0].path == "input.a"


@pytest.mark.parametrize(
    ("text", "good"), [("2024-05-01T10:00:00Z", True), ("2024-05-01T10:00:00", False), ("x", False)]
)
def test_formats_are_checked(text: str, good: bool) -> None:
    schema = {"properties": {"at": {"format": "date-time"}}}
    assert (check_input(spec(schema), {"at": text}) == {"at": text}) if good else faults(schema, {"at": text})


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#"},
        {"allOf": [{"$ref": "#"}]},
        {
            "$ref": "#/$defs/a0",
            "$defs": {f"a{i}": {"allOf": [{"$ref": f"#/$defs/a{i + 1}"}] * 2} for i in range(40)} | {"a40": {}},
        },
    ],
)
def test_references_that_multiply_or_go_in_circles_are_given_up(schema: dict[str, Any]) -> None:
    assert faults(schema, {})[0].code == "INPUT_TOO_COSTLY"


def test_a_large_default_of_each_item_is_given_up() -> None:
    schema = {"items": {"properties": {"d": {"default": "x" * 10_000}}}, "type": "array"}
    assert faults(schema, [{}] * 1000)[0].code == "INPUT_TOO_COSTLY"


def test_an_input_that_is_too_deep_or_no_json_is_an_issue() -> None:
    deep: Any = 1
    for _ in range(100_000):
        deep = [deep]
    assert faults({}, deep)[0].code == "DOCUMENT_TOO_DEEP"
    assert faults({}, {"a": float("nan")})[0].path == "input.a"
