"""Node types are known, their parameters fit, and triggers stand only where they can fire."""

from __future__ import annotations

from collections.abc import Iterator

from engine.dag.paths import join_path
from engine.dag.validate.outline import Outline, Vertex
from engine.errors import Issue


def check_types(outline: Outline) -> Iterator[Issue]:
    if not outline.spec.nodes:
        yield Issue("NO_NODES", "nodes", "the document has no node", "add one, such as {id: start, type: manual}")
    nearest: dict[str, str | None] = {}
    for vertex in outline.vertices():
        if vertex.info is None:
            yield _unknown(vertex, outline, nearest)
        elif vertex.is_trigger and vertex.graph.kind != "main":
            message = f"the trigger {vertex.id} stands in {_where(vertex)}, where nothing starts it"
            yield Issue("TRIGGER_MISPLACED", join_path(vertex.path, "type"), message, "move it to the top-level nodes")


def check_params(outline: Outline) -> Iterator[Issue]:
    for vertex in outline.vertices():
        if vertex.info is not None:
            yield from vertex.info.validate_params(vertex.node.params, join_path(vertex.path, "params"))


def _unknown(vertex: Vertex, outline: Outline, nearest: dict[str, str | None]) -> Issue:
    name = vertex.node.type
    absence = outline.catalogue.absence(name[:100])
    if absence is not None:
        message = f"the node type {name[:80]} is not available: {absence[0]}"
        return Issue("UNKNOWN_TYPE", join_path(vertex.path, "type"), message, absence[1])
    if name not in nearest and len(nearest) < 100 and len(name) <= 100:
        nearest[name] = outline.catalogue.nearest(name)
    near = nearest.get(name)
    hint = f"did you mean {near}?" if near else "structforge node list shows all types"
    return Issue("UNKNOWN_TYPE", join_path(vertex.path, "type"), f"there is no node type {name[:80]}", hint)


def _where(vertex: Vertex) -> str:
    owner = vertex.graph.owner
    return "the handlers" if owner is None else f"a body of {owner.id}"
