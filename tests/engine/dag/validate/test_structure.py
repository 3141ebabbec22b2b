"""Ids, types, parameters, edges, cycles and limits."""

from typing import Any

import pytest

from engine.dag.limits import Limits
from tests.engine.dag.validate.documents import edges, foreach, found, graph, issues, loop, node, parallel

MANUAL = {"id": "start", "type": "manual"}


def test_a_good_document_has_no_issue() -> None:
    body = graph(
        node("in1"),
        node("in2", "{{ nodes.in1.output + item }}"),
        links=edges("in1 in2"),
        outputs="{{ nodes.in2.output }}",
    )
    document = graph(
        MANUAL,
        node("a"),
        foreach("each", body),
        node("z", "{{ nodes.each.output.items }}"),
        links=edges("start a", "a each", "each z", "a.error z"),
    )
    assert found(document) == []


@pytest.mark.parametrize("bad", ["a-b", "1a", "", "class", "a b", "x" * 101, "ﬁ"])
def test_an_id_is_a_python_identifier(bad: str) -> None:
    assert found(graph(node(bad))) == [("INVALID_ID", "nodes[0].id")]


@pytest.mark.parametrize("good", ["a", "_x", "größe", "match", "A1"])
def test_letters_of_any_language_make_an_id(good: str) -> None:
    assert found(graph(node(good))) == []


def test_ids_are_unique_over_bodies_branches_and_handlers() -> None:
    document = graph(
        node("a"),
        loop("l", graph(node("a"))),
        parallel("p", {"id": "a", "nodes": [node("b")]}, {"id": "c", "nodes": [node("d")]}),
        handlers=graph(node("b")),
    )
    assert found(document) == [
        ("DUPLICATE_ID", "nodes[1].params.body.nodes[0].id"),
        ("DUPLICATE_ID", "nodes[2].params.branches[0].id"),
        ("DUPLICATE_ID", "handlers.nodes[0].id"),
    ]


def test_a_name_has_a_longest_length() -> None:
    assert found(graph(node("a", name="n" * 201), node("b", name="n" * 200))) == [("NAME_TOO_LONG", "nodes[0].name")]


def test_an_unknown_type_names_the_nearest() -> None:
    issue = issues(graph({"id": "a", "type": "transfrom"}))[0]
    assert (issue.code, issue.path, issue.hint) == ("UNKNOWN_TYPE", "nodes[0].type", "did you mean transform?")


def test_parameters_are_checked_by_the_type() -> None:
    document = graph({"id": "a", "type": "loop", "params": {"loop_type": "for", "count": -1, "bdy": {}}})
    assert set(found(document)) == {
        ("INVALID_PARAM", "nodes[0].params.count"),
        ("UNKNOWN_KEY", "nodes[0].params.bdy"),
        ("MISSING_PARAM", "nodes[0].params.body"),
    }


def test_a_document_has_nodes() -> None:
    assert found(graph()) == [("NO_NODES", "nodes")]


def test_triggers_stand_at_the_top_only() -> None:
    document = graph(loop("l", graph({"id": "t", "type": "manual"})), handlers=graph({"id": "u", "type": "manual"}))
    assert found(document) == [
        ("TRIGGER_MISPLACED", "nodes[0].params.body.nodes[0].type"),
        ("TRIGGER_MISPLACED", "handlers.nodes[0].type"),
    ]


@pytest.mark.parametrize(
    ("links", "code", "path"),
    [
        (edges("aa b"), "UNKNOWN_NODE", "edges[0].source"),
        (edges("a bbb"), "UNKNOWN_NODE", "edges[0].target"),
        (edges("a.err b"), "UNKNOWN_PORT", "edges[0].source_port"),
        ([{"source": "a", "target": "b", "target_port": "left"}], "UNKNOWN_PORT", "edges[0].target_port"),
        (edges("a a"), "SELF_EDGE", "edges[0]"),
        (edges("a b", "a b"), "DUPLICATE_EDGE", "edges[1]"),
        (edges("a start"), "EDGE_INTO_TRIGGER", "edges[0].target"),
        (edges("a inner"), "EDGE_CROSSES_GRAPHS", "edges[0].target"),
    ],
)
def test_a_bad_edge_is_an_issue(links: list[dict[str, str]], code: str, path: str) -> None:
    document = graph(MANUAL, node("a"), node("b"), loop("l", graph(node("inner"))), links=links)
    assert found(document) == [(code, path)]


def test_two_edges_between_the_same_nodes_may_leave_by_different_ports() -> None:
    assert found(graph(node("a"), node("b"), links=edges("a b", "a.error b"))) == []


def test_ports_of_a_condition_are_those_it_names() -> None:
    params = {"conditions": [{"condition": "{{ input.x }}", "output_port": "high"}]}
    document = graph(
        {"id": "c", "type": "condition", "params": params}, node("z"), links=edges("c.high z", "c.else z", "c.hihg z")
    )
    issue = issues(document)[0]
    assert (issue.code, issue.path, issue.hint) == ("UNKNOWN_PORT", "edges[2].source_port", "did you mean high?")


def test_an_unknown_end_names_the_nearest() -> None:
    assert issues(graph(node("fetch"), node("b"), links=edges("fetsh b")))[0].hint == "did you mean fetch?"


def test_each_cycle_is_found_once_and_named_from_its_first_node() -> None:
    document = graph(*(node(i) for i in "abcdef"), links=edges("a b", "b c", "c b", "c d", "e f", "f e"))
    cycles = [(issue.path, issue.message) for issue in issues(document) if issue.code == "CYCLE"]
    assert cycles == [
        ("edges[2]", "edges lead in a circle: b -> c -> b"),
        ("edges[5]", "edges lead in a circle: e -> f -> e"),
    ]


def test_two_cycles_through_one_node_are_both_named() -> None:
    document = graph(*(node(i) for i in "abc"), links=edges("a b", "b a", "a c", "c a"))
    assert [issue.message.split(": ")[1] for issue in issues(document)] == ["a -> b -> a", "a -> c -> a"]


def test_a_cycle_in_a_body_is_found() -> None:
    document = graph(loop("l", graph(node("a"), node("b"), links=edges("a b", "b a"))))
    assert found(document) == [("CYCLE", "nodes[0].params.body.edges[1]")]


def test_what_stands_only_behind_a_cycle_is_unreachable() -> None:
    document = graph(*(node(i) for i in "abcx"), links=edges("a b", "b a", "b c"))
    assert found(document) == [("UNREACHABLE", "nodes[2]"), ("CYCLE", "edges[1]")]


def test_a_lattice_of_cycles_ends_soon() -> None:
    links = [pair for i in range(300) for pair in edges(f"n{i} n{(i + 1) % 300}", f"n{(i + 1) % 300} n{i}")]
    assert 1 <= len(found(graph(*(node(f"n{i}") for i in range(300)), links=links))) <= 50


def test_the_number_of_nodes_counts_bodies_and_handlers() -> None:
    document = graph(node("a"), loop("l", graph(node("b"))), handlers=graph(node("c")))
    assert found(document, Limits(max_nodes=4)) == []
    assert found(document, Limits(max_nodes=3)) == [("TOO_MANY_NODES", "nodes")]


def test_bodies_nest_to_the_limit() -> None:
    body = graph(node("x"))
    for level in range(3):
        body = graph(loop(f"l{level}", body))
    assert found(body, Limits(max_body_depth=3)) == []
    assert found(body, Limits(max_body_depth=2)) == [
        ("BODIES_TOO_DEEP", "nodes[0].params.body.nodes[0].params.body.nodes[0].params.body")
    ]


@pytest.mark.parametrize(
    ("container", "code", "path"),
    [
        (loop("l", graph()), "EMPTY_BODY", "nodes[0].params.body.nodes"),
        (parallel("l"), "EMPTY_BODY", "nodes[0].params.branches"),
        (loop("l", graph(node("a")), count=1001), "LOOP_TOO_LONG", "nodes[0].params.count"),
        (loop("l", graph(node("a")), max_iterations=10_001), "LOOP_TOO_LONG", "nodes[0].params.max_iterations"),
        (foreach("l", graph(node("a")), items=[1] * 11, max_iterations=10), "LOOP_TOO_LONG", "nodes[0].params.items"),
        (parallel("l", {"id": "b", "nodes": [node("a")]}, wait=2), "WAIT_OUT_OF_REACH", "nodes[0].params.wait"),
    ],
)
def test_a_container_that_cannot_do_its_work_is_an_issue(container: dict[str, Any], code: str, path: str) -> None:
    assert (code, path) in found(graph(container))


@pytest.mark.parametrize(
    "container",
    [
        loop("l", graph(outputs="{{ index }}")),
        loop("l", graph(node("a")), count=5000, break_condition="index > 3"),
        loop("l", graph(node("a")), count=5000, max_iterations=5000),
    ],
)
def test_a_container_that_can_is_none(container: dict[str, Any]) -> None:
    assert found(graph(container)) == []
