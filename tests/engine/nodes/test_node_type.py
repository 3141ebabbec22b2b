from __future__ import annotations

import pytest

from engine.errors import NodeError
from tests.engine.nodes.running import codes, node_type


def issue(name: str, params: dict[str, object]) -> tuple[str, str, str]:
    (found,) = node_type(name).validate_params(params, "nodes[3].params")
    return found.code, found.path, found.hint


def test_unknown_key_names_the_nearest() -> None:
    assert issue("filter", {"conditon": "item"} | {"condition": "item"}) == (
        "UNKNOWN_KEY",
        "nodes[3].params.conditon",
        "did you mean condition?",
    )


def test_unknown_key_in_a_nested_list_names_its_place_and_neighbour() -> None:
    params = {"conditions": [{"condition": True, "output_port": "a", "outputport": "b"}]}
    assert issue("condition", params) == (
        "UNKNOWN_KEY",
        "nodes[3].params.conditions[0].outputport",
        "did you mean output_port?",
    )


def test_key_that_is_no_name_is_quoted_in_the_path() -> None:
    params = {"aggregations": {"the sum": {"function": "total", "field": "x"}}}
    assert codes("aggregate", params) == [("INVALID_PARAM", 'params.aggregations["the sum"].function')]


def test_missing_parameter_is_reported_with_its_meaning() -> None:
    code, path, hint = issue("http", {})
    assert (code, path) == ("MISSING_PARAM", "nodes[3].params.url")
    assert "http" in hint


def test_all_problems_are_reported_at_once() -> None:
    params = {"metod": "GET", "max_response_bytes": -1, "body_type": "yaml"}
    assert sorted(codes("http", params)) == [
        ("INVALID_PARAM", "params.body_type"),
        ("INVALID_PARAM", "params.max_response_bytes"),
        ("MISSING_PARAM", "params.url"),
        ("UNKNOWN_KEY", "params.metod"),
    ]


def test_templated_leaf_is_not_held_against_its_type() -> None:
    params = {
        "url": "{{ input.url }}",
        "method": "{{ input.method }}",
        "timeout": "{{ input.timeout }}",
        "max_response_bytes": "{{ input.limit }}",
        "headers": "{{ input.headers }}",
        "success_codes": ["{{ input.code }}"],
        "follow_redirects": "{{ input.follow }}",
    }
    assert codes("http", params) == []


def test_constant_beside_a_templated_leaf_is_still_checked() -> None:
    params = {"url": "{{ input.url }}", "timeout": "soon", "headers": {"a": "{{ input.a }}", "b": ["x"]}}
    assert {path for _, path in codes("http", params)} == {"params.timeout", "params.headers.b"}


def test_required_parameters_of_an_object_with_templates_are_still_required() -> None:
    assert codes("switch", {"switch_value": 1, "cases": [{"value": "{{ input.x }}"}]}) == [
        ("MISSING_PARAM", "params.cases[0].output_port")
    ]


def test_parameters_nested_too_deep_are_an_issue() -> None:
    deep: object = 1
    for _ in range(100_000):
        deep = [deep]
    assert codes("transform", {"mapping": deep, "rule": []}) == [("INVALID_PARAM", "params")]


def test_io_attempt_lasts_as_long_as_its_own_timeout_asks() -> None:
    assert node_type("http").timeout_s_for({"timeout": "2m"}) == 121.0
    assert node_type("http").timeout_s_for({"timeout": "1s"}) == 30.0
    assert node_type("http").timeout_s_for({"timeout": "{{ input.t }}"}) == 30.0
    assert node_type("filter").timeout_s_for({}) == 5.0
    assert node_type("parallel").timeout_s_for({"timeout": "2m"}) == 5.0


def test_parse_reports_every_problem_as_invalid_config() -> None:
    with pytest.raises(NodeError) as caught:
        node_type("http").parse_params({"url": "http://x", "timeout": "soon", "max_response_bytes": "many"})
    assert caught.value.code == "INVALID_CONFIG"
    paths = {found["path"] for found in caught.value.details["issues"]}
    assert paths == {"params.timeout", "params.max_response_bytes"}


def test_parse_error_never_shows_the_value() -> None:
    with pytest.raises(NodeError) as caught:
        node_type("http").parse_params({"url": "http://x", "body_type": "hunter2secret"})
    assert "hunter2secret" not in str(caught.value.details) + caught.value.message


def test_item_expressions_are_found_at_every_depth() -> None:
    paths = node_type("aggregate").item_expression_paths(
        {
            "items": "{{ input.rows }}",
            "group_by": {"year": "item.date[:4]"},
            "aggregations": {"s": {"function": "sum", "field": "item.x * 2"}, "n": {"function": "sum", "field": "x"}},
        }
    )
    assert paths == [("group_by", "year"), ("aggregations", "s", "field")]


def test_names_of_fields_are_no_expressions() -> None:
    sort = node_type("sort")
    assert sort.item_expression_paths({"sort_by": "customer.city"}) == []
    assert sort.item_expression_paths({"sort_by": "item.customer.city"}) == [("sort_by",)]
    assert sort.item_expression_paths({"sort_by": "{{ item.city }}"}) == [("sort_by",)]
    assert sort.item_expression_paths({"sort_by": [{"by": "len(item.x)", "order": "desc"}, {"by": "y"}]}) == [
        ("sort_by", 0, "by")
    ]
    assert node_type("aggregate").item_expression_paths({"group_by": ["a", "b"]}) == []


def test_every_text_of_a_mapping_expression_is_an_expression() -> None:
    params = {"mapping_expression": {"a": "item.x", "b": ["item.y", 1, {"c": "index"}]}}
    assert node_type("map").item_expression_paths(params) == [
        ("mapping_expression", "a"),
        ("mapping_expression", "b", 0),
        ("mapping_expression", "b", 2, "c"),
    ]


def test_conditions_of_loops_see_the_last_pass() -> None:
    loop = node_type("loop")
    assert loop.expression_names == ("item", "index", "last")
    params = {"loop_type": "while", "condition": "last.x < 3", "body": {"nodes": []}}
    assert loop.item_expression_paths(params) == [("condition",)]


def test_nested_graphs_are_required_but_not_looked_into() -> None:
    loop = node_type("loop")
    assert loop.body_params == ("body",)
    assert codes("loop", {"loop_type": "for", "count": 2}) == [("MISSING_PARAM", "params.body")]
    body = {"nodes": [{"id": "x", "nonsense": "{{ item }}"}]}
    assert codes("loop", {"loop_type": "for", "count": 2, "body": body}) == []
    assert codes("loop", {"loop_type": "for", "count": -2, "body": body}) == [("INVALID_PARAM", "params.count")]
