"""References, variables, policies and the input schema."""

from typing import Any

import pytest

from engine.dag.limits import Limits
from tests.engine.dag.validate.documents import edges, foreach, found, graph, issues, loop, node, parallel


def reads(node_id: str, *targets: str, **keys: Any) -> dict[str, Any]:
    return node(node_id, [f"{{{{ nodes.{target}.output }}}}" for target in targets], **keys)


def test_a_node_reads_what_is_upstream_at_any_distance() -> None:
    assert found(graph(node("a"), node("b"), reads("c", "a", "b"), links=edges("a b", "b c"))) == []


def test_a_node_does_not_read_what_may_not_have_run() -> None:
    document = graph(node("a"), reads("b", "a", "c", "b", "aa"), node("c"), links=edges("b c"))
    assert found(document) == [
        ("NOT_UPSTREAM", "nodes[1].params.mapping[0]"),
        ("NOT_UPSTREAM", "nodes[1].params.mapping[1]"),
        ("NOT_UPSTREAM", "nodes[1].params.mapping[2]"),
        ("UNKNOWN_NODE", "nodes[1].params.mapping[3]"),
    ]


def test_a_cycle_does_not_hide_references_and_makes_none() -> None:
    document = graph(
        node("x"), reads("a", "x", "b"), node("b"), reads("c", "a"), node("z"), links=edges("x a", "a b", "b a", "b c")
    )
    assert [code for code, _ in found(document)] == ["CYCLE"]


def test_a_body_reads_its_own_nodes_and_what_is_upstream_of_its_containers() -> None:
    inner = graph(reads("i1", "a", "o1"), reads("i2", "i1"), links=edges("i1 i2"), outputs="{{ nodes.i2.output }}")
    outer = graph(node("o1"), loop("inner", inner), links=edges("o1 inner"))
    assert found(graph(node("a"), loop("outer", outer), links=edges("a outer"))) == []


def test_a_body_reads_neither_its_container_nor_what_stands_beside_it() -> None:
    body = graph(reads("i", "l", "beside"))
    document = graph(node("beside"), loop("l", body))
    assert [code for code, _ in found(document)] == ["NOT_UPSTREAM", "NOT_UPSTREAM"]


def test_the_inside_of_a_body_is_not_visible_outside() -> None:
    document = graph(loop("l", graph(node("i"))), reads("z", "i"), links=edges("l z"))
    issue = issues(document)[0]
    assert (issue.code, issue.path) == ("NOT_UPSTREAM", "nodes[1].params.mapping[0]")
    assert "nodes.l.output" in issue.hint


def test_branches_do_not_see_each_other() -> None:
    document = graph(parallel("p", {"id": "l", "nodes": [node("a")]}, {"id": "r", "nodes": [reads("b", "a")]}))
    assert found(document) == [("NOT_UPSTREAM", "nodes[0].params.branches[1].nodes[0].params.mapping[0]")]


def test_handlers_see_all_main_nodes_and_none_sees_handlers() -> None:
    document = graph(node("a"), reads("b", "h1"), handlers=graph(reads("h1", "a", "b"), reads("h2", "h1")))
    assert found(document) == [
        ("NOT_UPSTREAM", "nodes[1].params.mapping[0]"),
        ("NOT_UPSTREAM", "handlers.nodes[1].params.mapping[0]"),
    ]


def test_outputs_see_all_top_level_nodes() -> None:
    outputs = {"a": "{{ nodes.a.output }}", "i": "{{ nodes.i.output }}", "q": "{{ nodes.q.output }}"}
    assert found(graph(node("a"), loop("l", graph(node("i"))), outputs=outputs)) == [
        ("NOT_UPSTREAM", "outputs.i"),
        ("UNKNOWN_NODE", "outputs.q"),
    ]


def test_assign_alone_reads_the_node_itself() -> None:
    assert found(graph(node("a", assign={"x": "{{ nodes.a.output }}"}))) == []
    assert found(graph(node("a", when="{{ nodes.a.output }}"))) == [("NOT_UPSTREAM", "nodes[0].when")]


def test_a_break_condition_sees_the_body_and_the_last_pass() -> None:
    assert found(graph(loop("l", graph(node("i")), break_condition="last and nodes.i.output > index"))) == []


@pytest.mark.parametrize(
    ("document", "path"),
    [
        (graph(node("a", "{{ item }}")), "nodes[0].params.mapping"),
        (graph(node("a", "{{ index }}")), "nodes[0].params.mapping"),
        (graph(node("a", "{{ error }}")), "nodes[0].params.mapping"),
        (graph(loop("l", graph(node("a", "{{ last }}")))), "nodes[0].params.body.nodes[0].params.mapping"),
        (graph(node("a", "{{ varz.x }}")), "nodes[0].params.mapping"),
        (graph(node("a"), outputs="{{ item }}"), "outputs"),
    ],
)
def test_names_exist_only_where_they_mean_something(document: dict[str, Any], path: str) -> None:
    assert found(document) == [("UNKNOWN_NAME", path)]


def test_names_of_loops_handlers_and_item_expressions_are_known_there() -> None:
    body = graph(node("a", "{{ item }} {{ index }}"), outputs="{{ item }}")
    filtered = {"id": "f", "type": "filter", "params": {"items": [1], "condition": "item > index"}}
    assert found(graph(foreach("l", body), filtered, handlers=graph(node("h", "{{ error }}")))) == []


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("{{ 1 + }}", "EXPRESSION_SYNTAX"),
        ("{{ nodes[input.x].output }}", "DYNAMIC_NODE_REFERENCE"),
        ("{{ " + "1+" * 500_000 + "1 }}", "EXPRESSION_TOO_LONG"),
    ],
)
def test_issues_of_the_parser_keep_their_code_and_place(text: str, code: str) -> None:
    assert found(graph(node("a", {"x": text}))) == [(code, "nodes[0].params.mapping.x")]


def test_a_lower_limit_of_expressions_holds() -> None:
    document = graph(node("a", "x" * 99 + "{{ input.long_name }}"))
    assert found(document, Limits(max_expression_bytes=15)) == []
    assert found(document, Limits(max_expression_bytes=14)) == [("EXPRESSION_TOO_LONG", "nodes[0].params.mapping")]


def test_a_variable_is_declared_or_assigned_somewhere() -> None:
    document = graph(
        node("a", ["{{ vars.declared }}", "{{ vars.assigned }}", "{{ vars.declard }}"]),
        node("b", assign={"assigned": 1}),
        variables={"declared": {"default": 1}},
    )
    issue = issues(document)[0]
    assert (issue.code, issue.path, issue.hint) == (
        "UNKNOWN_VARIABLE",
        "nodes[0].params.mapping[2]",
        "did you mean declared?",
    )


def test_node_inputs_are_known_by_their_keys() -> None:
    document = graph(node("a", "{{ inputs.rate }} {{ inputs.rat }}", inputs={"rate": 2}))
    assert found(document) == [("UNKNOWN_NODE_INPUT", "nodes[0].params.mapping")]


def test_a_when_without_an_expression_says_nothing() -> None:
    assert found(graph(node("a", when="vars.x > 3"), node("b", when="{{ input.x }}"), node("c", when=False))) == [
        ("CONSTANT_WHEN", "nodes[0].when")
    ]


def test_variable_names_are_identifiers() -> None:
    document = graph(node("a", assign={"a b": 1}), variables={"x-y": {}, "class": {}, "ok": {}})
    assert found(document) == [
        ("INVALID_NAME", 'variables["x-y"]'),
        ("INVALID_NAME", "variables.class"),
        ("INVALID_NAME", 'nodes[0].assign["a b"]'),
    ]


def test_assignments_without_an_order_are_a_warning() -> None:
    assign = {"assign": {"x": 1}}
    document = graph(node("a", **assign), node("b", **assign), node("c", **assign), links=edges("a c", "b c"))
    (issue,) = issues(document)
    assert (issue.code, issue.path, issue.severity) == ("ASSIGN_RACE", "nodes[1]", "warning")
    ordered = graph(node("a", **assign), node("m"), node("c", **assign), links=edges("a m", "m c"))
    assert found(ordered) == []


def test_a_body_that_assigns_counts_as_its_container_and_branches_race() -> None:
    assign = {"assign": {"x": 1}}
    assert found(graph(loop("l", graph(node("i", **assign))), node("b", **assign))) == [("ASSIGN_RACE", "nodes[1]")]
    branches = [{"id": side, "nodes": [node(f"n{side}", **assign)]} for side in ("left", "right")]
    assert found(graph(parallel("p", *branches))) == [("ASSIGN_RACE", "nodes[0]")]


@pytest.mark.parametrize("concurrency", [2, "{{ input.n }}"])
def test_passes_at_the_same_time_assign_nothing(concurrency: Any) -> None:
    inner = loop("inner", graph(node("i", assign={"x": 1})))
    document = graph(foreach("l", graph(inner), concurrency=concurrency))
    assert found(document) == [
        ("ASSIGN_IN_CONCURRENT_BODY", "nodes[0].params.body.nodes[0].params.body.nodes[0].assign")
    ]


@pytest.mark.parametrize(
    ("keys", "code", "path", "severity"),
    [
        ({"retry": {}, "on_error": "skip"}, "RETRY_CONTRADICTION", "nodes[0].retry", "error"),
        ({"then": "continue"}, "THEN_WITHOUT_RETRY", "nodes[0].then", "warning"),
        ({"timeout": "0s"}, "INVALID_DURATION", "nodes[0].timeout", "error"),
        ({"retry": {"interval": "0s"}}, "INVALID_DURATION", "nodes[0].retry.interval", "error"),
        (
            {"retry": {"interval": "2s", "max_interval": "1s"}},
            "INVALID_DURATION",
            "nodes[0].retry.max_interval",
            "error",
        ),
        ({"cache": {"ttl": "0s"}}, "INVALID_DURATION", "nodes[0].cache.ttl", "error"),
    ],
)
def test_a_policy_that_cannot_be_is_an_issue(keys: dict[str, Any], code: str, path: str, severity: str) -> None:
    assert [(i.code, i.path, i.severity) for i in issues(graph(node("a", **keys)))] == [(code, path, severity)]


@pytest.mark.parametrize(
    "keys", [{"retry": {}}, {"on_error": "retry"}, {"retry": {}, "on_error": "retry", "then": "skip"}]
)
def test_a_policy_that_can_is_none(keys: dict[str, Any]) -> None:
    assert found(graph(node("a", **keys))) == []


@pytest.mark.parametrize(
    ("keys", "path"),
    [({"on_error": "fail"}, "nodes[0].on_error"), ({"retry": {}, "then": "skip"}, "nodes[0].then")],
)
def test_an_error_edge_under_a_policy_that_never_takes_it_is_a_warning(keys: dict[str, Any], path: str) -> None:
    assert found(graph(node("a", **keys), node("b"), links=edges("a.error b"))) == [("ERROR_EDGE_NEVER_LIVE", path)]


def test_settings_are_checked() -> None:
    settings = {
        "timeout": "0s",
        "retry": {"interval": "0s"},
        "notifications": [{"on": ["failed"], "via": "webhook"}, {"on": ["failed"], "via": "email"}],
    }
    assert found(graph(node("a"), settings=settings)) == [
        ("INVALID_DURATION", "settings.timeout"),
        ("INVALID_DURATION", "settings.retry.interval"),
        ("INVALID_NOTIFICATION", "settings.notifications[0]"),
        ("INVALID_NOTIFICATION", "settings.notifications[1]"),
    ]


@pytest.mark.parametrize(
    ("schema", "path"),
    [
        ({"type": "objekt"}, "inputs.type"),
        ({"properties": {"a": {"minimum": "x"}}}, "inputs.properties.a.minimum"),
        ({"properties": {"a": {"pattern": "(?=x)"}}}, "inputs.properties.a.pattern"),
        ({"properties": {"a": {"$ref": "http://x.example/s"}}}, 'inputs.properties.a["$ref"]'),
        ({"properties": {"a": {"$ref": "#/$defs/none"}}}, 'inputs.properties.a["$ref"]'),
        ({"default": {"x": {}}, "$ref": "#/default/x"}, 'inputs["$ref"]'),
        ({"$schema": "http://json-schema.org/draft-07/schema#"}, 'inputs["$schema"]'),
        ({"$id": "http://x.example/"}, 'inputs["$id"]'),
        ({"patternProperties": {"(a)\\1": {}}}, "inputs.patternProperties"),
        ({"patternProperties": {"a": {}}, "unevaluatedProperties": False}, "inputs.unevaluatedProperties"),
    ],
)
def test_an_input_schema_that_cannot_be_checked_safely_is_an_issue(schema: dict[str, Any], path: str) -> None:
    assert found(graph(node("a"), inputs=schema)) == [("INPUT_SCHEMA", path)]


def test_properties_may_have_the_names_of_keywords() -> None:
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "properties": {"$schema": {"type": "string"}, "$ref": {"$ref": "#/$defs/a"}, "pattern": {"pattern": "^a+$"}},
        "$defs": {"a": {"type": ["string", "null"]}},
    }
    assert found(graph(node("a"), inputs=schema)) == []
