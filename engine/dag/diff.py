"""What differs between two specs: nodes and edges added, removed and changed, and every other section. Pure.

Specs are compared as they mean: a default that is written out equals one that is left out, `60s` equals `1m`. Lists
whose items all have ids of their own (nodes of a loop's body, branches) are compared by id, so that a node put in front
does not change all that follow it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, cast

from engine.dag.paths import join_path
from engine.dag.spec import EdgeSpec, GraphSpec, WorkflowSpec

Kind = Literal["added", "removed", "changed", "reordered"]
_GRAPH_KEYS = frozenset({"nodes", "edges", "handlers"})


@dataclass(frozen=True, slots=True)
class Change:
    """A place in a section or node, such as `params.url`, and what stood there; `before` is None where it is new."""

    path: str
    kind: Kind
    before: Any = None
    after: Any = None


@dataclass(frozen=True, slots=True)
class NodeChange:
    """A node that both specs have; the paths begin inside it."""

    id: str
    changes: list[Change]


@dataclass(frozen=True, slots=True)
class Edge:
    source: str
    source_port: str
    target: str
    target_port: str


@dataclass(frozen=True, slots=True)
class GraphDiff:
    """`reordered`: nodes or edges that both have stand in another order, which decides ties."""

    nodes_added: list[str] = field(default_factory=list[str])
    nodes_removed: list[str] = field(default_factory=list[str])
    nodes_changed: list[NodeChange] = field(default_factory=list[NodeChange])
    edges_added: list[Edge] = field(default_factory=list[Edge])
    edges_removed: list[Edge] = field(default_factory=list[Edge])
    reordered: bool = False

    @property
    def is_empty(self) -> bool:
        return self == GraphDiff()


@dataclass(frozen=True, slots=True)
class SpecDiff:
    """`sections` are the changes of everything that is no graph: name, inputs, variables, outputs, settings, ..."""

    graph: GraphDiff
    handlers: GraphDiff
    sections: list[Change]

    @property
    def is_empty(self) -> bool:
        return self.graph.is_empty and self.handlers.is_empty and not self.sections


def diff_specs(before: WorkflowSpec, after: WorkflowSpec) -> SpecDiff:
    """What makes `after` of `before`; empty exactly if both mean the same."""
    sections = list(_changes("", _rest(before), _rest(after)))
    return SpecDiff(_diff_graph(before.graph, after.graph), _diff_graph(before.handlers, after.handlers), sections)


def _rest(spec: WorkflowSpec) -> dict[str, Any]:
    return {key: value for key, value in _plain(spec).items() if key not in _GRAPH_KEYS}


def _plain(part: Any) -> dict[str, Any]:
    return part.model_dump(mode="json", by_alias=True, exclude_defaults=True)


def _diff_graph(before: GraphSpec, after: GraphSpec) -> GraphDiff:
    old, new = _by_id(before), _by_id(after)
    kept = [key for key in old if key in new]
    changed = [NodeChange(key[0], list(_changes("", old[key], new[key]))) for key in kept]
    old_edges, new_edges = [_edge(edge) for edge in before.edges], [_edge(edge) for edge in after.edges]
    edges_removed, edges_kept = _less(old_edges, new_edges)
    edges_added, edges_new = _less(new_edges, old_edges)
    return GraphDiff(
        nodes_added=[key[0] for key in new if key not in old],
        nodes_removed=[key[0] for key in old if key not in new],
        nodes_changed=[change for change in changed if change.changes],
        edges_added=edges_added,
        edges_removed=edges_removed,
        reordered=kept != [key for key in new if key in old] or edges_kept != edges_new,
    )


def _by_id(graph: GraphSpec) -> dict[tuple[str, int], dict[str, Any]]:
    """Nodes by id and, as a draft may use one twice, which of that id it is."""
    seen: Counter[str] = Counter()
    found: dict[tuple[str, int], dict[str, Any]] = {}
    for node in graph.nodes:
        found[node.id, seen[node.id]] = _plain(node)
        seen[node.id] += 1
    return found


def _edge(edge: EdgeSpec) -> Edge:
    return Edge(edge.source, edge.source_port, edge.target, edge.target_port)


def _less(edges: Iterable[Edge], others: Iterable[Edge]) -> tuple[list[Edge], list[Edge]]:
    """The edges that `others` lacks, and those that it has, in their order; each edge counts as often as it stands."""
    left, gone, kept = Counter(others), list[Edge](), list[Edge]()
    for edge in edges:
        (kept if left[edge] > 0 else gone).append(edge)
        left[edge] -= 1
    return gone, kept


def _changes(path: str, before: Any, after: Any) -> Iterator[Change]:
    if _same(before, after):
        return
    if isinstance(before, dict) and isinstance(after, dict):
        yield from _mapping_changes(path, cast("dict[str, Any]", before), cast("dict[str, Any]", after))
    elif isinstance(before, list) and isinstance(after, list):
        yield from _list_changes(path, cast("list[Any]", before), cast("list[Any]", after))
    else:
        yield Change(path, "changed", before, after)


def _same(before: Any, after: Any) -> bool:
    """Equal, and of one type: Python's `1 == True` and `1 == 1.0` are changes of a document."""
    if type(before) is not type(after):
        return False
    if isinstance(before, dict):
        return before.keys() == after.keys() and all(_same(before[key], after[key]) for key in before)
    if isinstance(before, list):
        items = cast("list[Any]", before)
        return len(items) == len(after) and all(map(_same, items, after))
    return bool(before == after)


def _mapping_changes(path: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Change]:
    for key, old in before.items():
        inner = join_path(path, key)
        if key in after:
            yield from _changes(inner, old, after[key])
        else:
            yield Change(inner, "removed", before=old)
    for key, new in after.items():
        if key not in before:
            yield Change(join_path(path, key), "added", after=new)


def _list_changes(path: str, before: Sequence[Any], after: Sequence[Any]) -> Iterator[Change]:
    old, new = _identified(before), _identified(after)
    if old is not None and new is not None and (old or new):
        yield from _mapping_changes(path, old, new)
        order = [key for key in old if key in new], [key for key in new if key in old]
        if order[0] != order[1]:
            yield Change(path, "reordered", *order)
        return
    shared = min(len(before), len(after))
    for index in range(shared):
        yield from _changes(join_path(path, index), before[index], after[index])
    for index in range(shared, len(before)):
        yield Change(join_path(path, index), "removed", before=before[index])
    for index in range(shared, len(after)):
        yield Change(join_path(path, index), "added", after=after[index])


def _identified(items: Sequence[Any]) -> dict[str, Any] | None:
    """The items by id; None if one is no mapping with an id of its own."""
    found = {item["id"]: item for item in items if isinstance(item, dict) and isinstance(item.get("id"), str)}
    return found if len(found) == len(items) else None
