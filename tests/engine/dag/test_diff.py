from __future__ import annotations

from collections import Counter
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from engine.dag.diff import Change, Edge, GraphDiff, SpecDiff, diff_specs
from engine.dag.parsing import parse_spec
from engine.dag.spec import WorkflowSpec

IDS = st.sampled_from(["a", "b", "c", "d", "e"])
VALUES = st.recursive(
    st.sampled_from([None, True, 1, 1.0, 2, "x", "y"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["k", "l", "a-b"]), inner, max_size=3)
        | st.lists(st.builds(lambda i, v: {"id": i, "v": v}, IDS, inner), max_size=3, unique_by=lambda item: item["id"])
    ),
    max_leaves=6,
)
NODES = st.builds(lambda i, p: {"id": i, "type": "transform", "params": {"mapping": p}}, IDS, VALUES)
EDGES = st.builds(lambda s, t, p: {"source": s, "target": t, "source_port": p}, IDS, IDS, st.sampled_from(["out", "x"]))
GRAPHS = st.fixed_dictionaries(
    {
        "nodes": st.lists(NODES, max_size=5, unique_by=lambda node: node["id"]),
        "edges": st.lists(EDGES, max_size=6, unique_by=str),
    }
)


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    graph, handlers = draw(GRAPHS), draw(GRAPHS)
    variables = draw(st.dictionaries(IDS, st.builds(lambda value: {"default": value}, VALUES), max_size=3))
    more = {"handlers": handlers, "outputs": draw(VALUES), "variables": variables}
    return {"name": draw(st.sampled_from(["one", "two"])), **graph, **more}


def spec(**parts: Any) -> WorkflowSpec:
    return parse_spec({"name": "w", "nodes": [{"id": "start", "type": "manual"}], **parts})


def diff(before: dict[str, Any], after: dict[str, Any]) -> SpecDiff:
    return diff_specs(parse_spec(before), parse_spec(after))


@settings(max_examples=200, deadline=None)
@given(documents(), documents())
def test_a_diff_is_empty_exactly_if_both_mean_the_same(one: dict[str, Any], other: dict[str, Any]) -> None:
    same = repr(parse_spec(one).model_dump()) == repr(parse_spec(other).model_dump())
    sets_alike = _without_key_order(parse_spec(one).model_dump()) == _without_key_order(parse_spec(other).model_dump())

    assert diff(one, one).is_empty
    assert diff(one, other).is_empty == sets_alike
    assert not same or sets_alike


def _without_key_order(value: Any) -> str:
    if isinstance(value, dict):
        return repr(sorted((key, _without_key_order(member)) for key, member in value.items()))
    if isinstance(value, list):
        return repr([_without_key_order(item) for item in value])
    return repr(value)


@settings(max_examples=200, deadline=None)
@given(documents(), documents())
def test_the_other_way_round_added_and_removed_change_places(one: dict[str, Any], other: dict[str, Any]) -> None:
    there, back = diff(one, other), diff(other, one)

    for forward, backward in ((there.graph, back.graph), (there.handlers, back.handlers)):
        assert Counter(forward.nodes_added) == Counter(backward.nodes_removed)
        assert Counter(forward.edges_removed) == Counter(backward.edges_added)
        assert {node.id for node in forward.nodes_changed} == {node.id for node in backward.nodes_changed}
        assert forward.reordered == backward.reordered
    swapped = {"added": "removed", "removed": "added"}
    assert Counter((c.path, swapped.get(c.kind, c.kind)) for c in there.sections) == Counter(
        (c.path, c.kind) for c in back.sections
    )


@settings(max_examples=200, deadline=None)
@given(documents(), documents())
def test_nodes_and_edges_are_those_that_sets_give(one: dict[str, Any], other: dict[str, Any]) -> None:
    def ids(document: dict[str, Any]) -> set[str]:
        return {node["id"] for node in document["nodes"]}

    def edges(document: dict[str, Any]) -> set[Edge]:
        return {Edge(e["source"], e["source_port"], e["target"], "in") for e in document["edges"]}

    graph = diff(one, other).graph
    assert set(graph.nodes_added) == ids(other) - ids(one)
    assert set(graph.nodes_removed) == ids(one) - ids(other)
    assert set(graph.edges_added) == edges(other) - edges(one)
    assert set(graph.edges_removed) == edges(one) - edges(other)


def test_a_default_that_is_written_out_is_no_change() -> None:
    edge = {"source": "start", "target": "b"}
    nodes = [{"id": "start", "type": "manual"}, {"id": "b", "type": "delay", "timeout": "60s"}]
    more = [{"id": "start", "type": "manual", "join": "all"}, {"id": "b", "type": "delay", "timeout": "1m"}]

    assert diff_specs(
        spec(nodes=nodes, edges=[edge]), spec(nodes=more, edges=[{**edge, "source_port": "out"}], description="")
    ).is_empty


def test_changes_of_a_node_name_their_places() -> None:
    before = {"id": "start", "type": "http", "params": {"url": "a", "headers": {"x-id": 1}, "gone": 0}}
    after = {"id": "start", "type": "http", "params": {"url": "b", "headers": {"x-id": 1, "new": 2}}, "timeout": "5s"}

    (changed,) = diff_specs(spec(nodes=[before]), spec(nodes=[after])).graph.nodes_changed

    assert changed.id == "start"
    assert changed.changes == [
        Change("params.url", "changed", "a", "b"),
        Change("params.headers.new", "added", after=2),
        Change("params.gone", "removed", before=0),
        Change("timeout", "added", after="5s"),
    ]


def test_a_node_put_in_front_of_a_loops_body_leaves_the_others_unchanged() -> None:
    def loop(*nodes: dict[str, Any]) -> WorkflowSpec:
        return spec(nodes=[{"id": "start", "type": "loop", "params": {"body": {"nodes": list(nodes)}}}])

    old, new = {"id": "old", "type": "map", "params": {"n": 1}}, {"id": "new", "type": "map"}
    (changed,) = diff_specs(loop(old), loop(new, {**old, "params": {"n": 2}})).graph.nodes_changed

    assert changed.changes == [
        Change("params.body.nodes.old.params.n", "changed", 1, 2),
        Change("params.body.nodes.new", "added", after=new),
    ]


def test_order_alone_is_told_apart() -> None:
    one, two = {"id": "a", "type": "manual"}, {"id": "b", "type": "manual"}

    assert diff_specs(spec(nodes=[one, two]), spec(nodes=[two, one])).graph == GraphDiff(reordered=True)


def test_settings_and_name_are_sections() -> None:
    changed = diff_specs(spec(settings={"priority": 1}), spec(name="v", settings={"timeout": "1h"}))

    assert changed.sections == [
        Change("name", "changed", "w", "v"),
        Change("settings.priority", "removed", before=1),
        Change("settings.timeout", "added", after="1h"),
    ]
    assert changed.graph.is_empty


def test_true_and_one_differ() -> None:
    assert diff_specs(spec(outputs={"x": 1}), spec(outputs={"x": True})).sections == [
        Change("outputs.x", "changed", 1, True)
    ]
