"""Edges join ports that exist, of nodes of one graph."""

from __future__ import annotations

from collections.abc import Iterator

from engine.dag.paths import join_path
from engine.dag.spec import EdgeSpec
from engine.dag.validate.outline import Graph, Outline, Vertex
from engine.errors import Issue


def check_edges(outline: Outline) -> Iterator[Issue]:
    ports: dict[str, tuple[str, ...]] = {}
    for graph in outline.graphs:
        seen: dict[tuple[str, str, str], str] = {}
        for number, edge in enumerate(graph.edges):
            path = graph.place("edges", number)
            yield from _check_ends(edge, path, graph, outline)
            yield from _check_ports(edge, path, graph, outline, ports)
            first = seen.setdefault((edge.source, edge.source_port, edge.target), path)
            if first != path:
                message = f"the edge from {edge.source} to {edge.target} stands already at {first}"
                yield Issue("DUPLICATE_EDGE", path, message, "remove one of them")


def _check_ends(edge: EdgeSpec, path: str, graph: Graph, outline: Outline) -> Iterator[Issue]:
    for key, node_id in (("source", edge.source), ("target", edge.target)):
        if node_id not in graph.by_id:
            yield _missing_end(key, node_id, path, graph, outline)
    if edge.source == edge.target:
        yield Issue("SELF_EDGE", path, f"{edge.source} leads to itself", "to repeat nodes put them into a loop's body")
    target = graph.by_id.get(edge.target)
    if target is not None and target.is_trigger:
        hint = "triggers start executions: remove the edge"
        yield Issue("EDGE_INTO_TRIGGER", join_path(path, "target"), f"{edge.target} is a trigger", hint)


def _missing_end(key: str, node_id: str, path: str, graph: Graph, outline: Outline) -> Issue:
    where = join_path(path, key)
    elsewhere = outline.by_id.get(node_id)
    if elsewhere is None:
        hint = outline.suggester.hint(node_id, graph.by_id, "name the id of a node of the same graph")
        return Issue("UNKNOWN_NODE", where, f"there is no node {node_id[:80]}", hint)
    message = f"{node_id} stands in another graph ({elsewhere.path})"
    hint = "edges stay inside one graph; join the container instead, or read its output in an expression"
    return Issue("EDGE_CROSSES_GRAPHS", where, message, hint)


def _check_ports(
    edge: EdgeSpec, path: str, graph: Graph, outline: Outline, ports: dict[str, tuple[str, ...]]
) -> Iterator[Issue]:
    source = graph.by_id.get(edge.source)
    if source is not None and source.info is not None:
        if source.path not in ports:
            ports[source.path] = _ports(source)
        known = ports[source.path]
        if edge.source_port not in known:
            message = f"{edge.source} ({source.node.type}) has no output port {edge.source_port[:80]}"
            hint = outline.suggester.hint(edge.source_port, known, f"its ports: {', '.join(known) or 'none'}")
            yield Issue("UNKNOWN_PORT", join_path(path, "source_port"), message, hint)
    if edge.target_port != "in":
        message = f"there is no input port {edge.target_port[:80]}"
        yield Issue("UNKNOWN_PORT", join_path(path, "target_port"), message, "the only input port is in: leave it out")


def _ports(vertex: Vertex) -> tuple[str, ...]:
    return vertex.info.ports_for(vertex.node.params) if vertex.info is not None else ()
