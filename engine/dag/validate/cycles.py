"""Graphs are acyclic: repetition belongs to loops."""

from __future__ import annotations

from collections.abc import Iterator

from engine.dag.validate.graphs import cycles, successors
from engine.dag.validate.outline import Graph, Outline
from engine.errors import Issue

_MAX_CYCLES = 50
_MAX_NAMED = 20


def check_cycles(outline: Outline) -> Iterator[Issue]:
    for graph in outline.graphs:
        tangled = [members for members in graph.components if len(members) > 1]
        budget = _MAX_CYCLES
        for members in tangled:
            for nodes, edge in cycles(len(graph.vertices), graph.links, members, budget):
                budget -= 1
                message = f"edges lead in a circle: {_name(graph, nodes)}"
                hint = "remove one of these edges; to repeat nodes put them into a loop's body"
                yield Issue("CYCLE", graph.place("edges", edge), message, hint)
        if tangled:
            yield from _check_reach(graph, {node for members in tangled for node in members})


def _name(graph: Graph, nodes: list[int]) -> str:
    """`a -> b -> a`, beginning with the node that stands first in the document."""
    first = nodes.index(min(nodes))
    ids = [graph.vertices[node].id for node in (*nodes[first:], *nodes[:first])]
    shown = ids if len(ids) <= _MAX_NAMED else [*ids[:_MAX_NAMED], f"({len(ids) - _MAX_NAMED} more)"]
    return " -> ".join([*shown, ids[0]])


def _check_reach(graph: Graph, on_cycle: set[int]) -> Iterator[Issue]:
    """Nodes that no entry leads to. Those on a cycle have their issue already."""
    following = successors(len(graph.vertices), graph.links)
    waiting = set(range(len(graph.vertices))) - {target for _, target, _ in graph.links}
    reached = set(waiting)
    while waiting:
        new = {target for target, _ in following[waiting.pop()]} - reached
        reached |= new
        waiting |= new
    for vertex in graph.vertices:
        if vertex.index not in reached and vertex.index not in on_cycle:
            message = f"{vertex.id} stands only behind a cycle and can never start"
            yield Issue("UNREACHABLE", vertex.path, message, "break the cycle")
