"""Variables have usable names, and their assignments an order."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from engine.dag.paths import join_path
from engine.dag.validate.ids import identifier_fault
from engine.dag.validate.outline import Graph, Outline, Vertex
from engine.errors import Issue


def check_variables(outline: Outline) -> Iterator[Issue]:
    for name, path in _declarations(outline):
        if (fault := identifier_fault(name, outline.limits.max_id_length)) is not None:
            message = f"the variable name {name[:80]!r} {fault}"
            yield Issue("INVALID_NAME", path, message, "expressions write vars.<name>: use letters, digits and _")
    yield from _check_concurrent_bodies(outline)
    yield from _check_races(outline)


def _declarations(outline: Outline) -> Iterator[tuple[str, str]]:
    for name in outline.spec.variables:
        yield name, join_path("variables", name)
    for vertex in outline.vertices():
        for name in vertex.node.assign:
            yield name, join_path(vertex.path, "assign", name)


def _check_concurrent_bodies(outline: Outline) -> Iterator[Issue]:
    for vertex in outline.vertices():
        loop = next((graph.owner for graph in vertex.graph.outward() if _is_concurrent(graph)), None)
        if vertex.node.assign and loop is not None:
            message = f"the passes of {loop.id} may run at the same time, so its body cannot assign variables"
            hint = f"set concurrency of {loop.id} to the constant 1, or return the value in the outputs of the body"
            yield Issue("ASSIGN_IN_CONCURRENT_BODY", join_path(vertex.path, "assign"), message, hint)


def _is_concurrent(graph: Graph) -> bool:
    """Whether the passes of a loop's body may overlap; a computed concurrency may be anything."""
    if graph.kind != "body" or graph.owner is None:
        return False
    return graph.owner.node.params.get("concurrency", 1) not in (1, None)


def _check_races(outline: Outline) -> Iterator[Issue]:
    """Pairs without an order. Order is transitive, so neighbours in a topological order tell of all pairs."""
    for graph in outline.graphs:
        rank = {node: place for place, part in enumerate(reversed(graph.components)) for node in part}
        for name, assigners in _assigners(graph).items():
            ordered = sorted(assigners, key=lambda vertex: rank[vertex.index])
            for earlier, later in pairwise(ordered):
                if not graph.ancestors[later.index] >> earlier.index & 1:
                    first, second = sorted((earlier, later), key=lambda vertex: vertex.index)
                    yield _race(name, second, first.id, second.id)
    for vertex in outline.vertices():
        if len(vertex.bodies) > 1:
            yield from _check_branches(vertex)


def _check_branches(vertex: Vertex) -> Iterator[Issue]:
    first: dict[str, str] = {}
    for branch in vertex.bodies:
        for name in _assigned_in(branch):
            if first.setdefault(name, branch.id) != branch.id:
                yield _race(name, vertex, f"branch {first[name]}", f"branch {branch.id}")


def _race(name: str, place: Vertex, one: str, other: str) -> Issue:
    message = f"{one} and {other} both assign {name}, and either may be last"
    hint = "add an edge path between them, or use two variables"
    return Issue("ASSIGN_RACE", place.path, message, hint, "warning")


def _assigners(graph: Graph) -> dict[str, list[Vertex]]:
    """For each variable the nodes of the graph that assign it, themselves or in their bodies."""
    found: dict[str, list[Vertex]] = {}
    for vertex in graph.vertices:
        names = dict.fromkeys(vertex.node.assign)
        for body in vertex.bodies:
            names.update(dict.fromkeys(_assigned_in(body)))
        for name in names:
            found.setdefault(name, []).append(vertex)
    return found


def _assigned_in(graph: Graph) -> dict[str, None]:
    names: dict[str, None] = {}
    waiting = [graph]
    while waiting:
        for vertex in waiting.pop().vertices:
            names.update(dict.fromkeys(vertex.node.assign))
            waiting.extend(vertex.bodies)
    return names
