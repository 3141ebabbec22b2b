"""Where a document holds templates, and what each of them may see."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

from engine.dag.bodies import GRAPH_PARAMS
from engine.dag.paths import join_path
from engine.dag.validate.outline import Graph, Outline, Vertex

JsonPath = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Place:
    """A tree of templates. It stands in `graph`; `vertex` is its node, None for the outputs of the graph itself."""

    tree: Any
    path: str
    graph: Graph
    vertex: Vertex | None = None
    expressions: bool = False
    names: tuple[str, ...] = ()
    sees_bodies: bool = False  # evaluated between the passes of its node
    sees_itself: bool = False  # evaluated after its node


def places(outline: Outline) -> Iterator[Place]:
    """All trees of templates of the document."""
    for graph in outline.graphs:
        if graph.outputs is not None:
            yield Place(graph.outputs, graph.place("outputs"), graph, names=_names(graph))
        for vertex in graph.vertices:
            yield from _node_places(vertex)


def _node_places(vertex: Vertex) -> Iterator[Place]:
    node, graph, names = vertex.node, vertex.graph, _names(vertex.graph)
    templates, leaves = split_params(vertex)
    if templates:
        yield Place(templates, join_path(vertex.path, "params"), graph, vertex, names=names)
    for path, text in leaves:
        where = join_path(vertex.path, "params", *path)
        extra = tuple(dict.fromkeys((*names, *expression_names(vertex))))
        bodies = bool(vertex.bodies)
        yield Place(text, where, graph, vertex, expressions=True, names=extra, sees_bodies=bodies)
    if isinstance(node.when, str):
        yield Place(node.when, join_path(vertex.path, "when"), graph, vertex, names=names)
    if node.inputs:
        yield Place(node.inputs, join_path(vertex.path, "inputs"), graph, vertex, names=names)
    if node.assign:
        yield Place(node.assign, join_path(vertex.path, "assign"), graph, vertex, names=names, sees_itself=True)


def split_params(vertex: Vertex) -> tuple[dict[str, Any], list[tuple[JsonPath, str]]]:
    """Parameters with templates, and the expressions that the node evaluates itself. Bodies are in neither."""
    graph_param = GRAPH_PARAMS.get(vertex.node.type)
    own = {key: value for key, value in vertex.node.params.items() if key != graph_param}
    paths = vertex.info.item_expression_paths(own) if vertex.info is not None else []
    leaves: list[tuple[JsonPath, str]] = []
    for path in paths:
        text = _value_at(own, path)
        if isinstance(text, str):
            leaves.append((path, text))
            own = _without(own, path)
    return own, leaves


def expression_names(vertex: Vertex) -> tuple[str, ...]:
    return vertex.info.expression_names if vertex.info is not None else ()


def _names(graph: Graph) -> tuple[str, ...]:
    """Names that exist only in some graphs."""
    loop = ("item", "index") if graph.in_loop else ()
    return (*loop, "error") if graph.in_handlers else loop


def _value_at(tree: Any, path: Sequence[str | int]) -> Any:
    for part in path:
        tree = tree[part]
    return tree


def _without(tree: Any, path: Sequence[str | int]) -> Any:
    """A copy with null at `path`; what is not on the way is shared."""
    if not path:
        return None
    head, rest = path[0], path[1:]
    copy: Any = dict(cast("dict[str, Any]", tree)) if isinstance(tree, dict) else list(cast("list[Any]", tree))
    copy[head] = _without(copy[head], rest)
    return copy
