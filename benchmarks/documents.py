"""Graphs as StructForge documents, and what each node must give."""

from __future__ import annotations

from typing import Any, Literal

from benchmarks.graphs import Graph

Style = Literal["plain", "computed"]

# A hundred parents make an expression of 2 KB; the limit of the product is 4 KB.
MOST_COMPUTED_PARENTS = 150
ABREAST = 100  # passes of a loop at a time


def fused_document_of(document: dict[str, Any]) -> dict[str, Any]:
    """A document with an I/O node (of the plugin beside this) in place of each transform, fused."""
    settings = {**document["settings"], "dispatch": "fused"}
    return {**_with_io(document), "name": f"{document['name']}-fused", "settings": settings}


def _with_io(graph: dict[str, Any]) -> dict[str, Any]:
    nodes: list[dict[str, Any]] = [
        {**node, "type": "bench.read"} if node["type"] == "transform" else {**node} for node in graph["nodes"]
    ]
    for node in nodes:
        if "body" in node["params"]:
            node["params"] = {**node["params"], "body": _with_io(node["params"]["body"])}
    return {**graph, "nodes": nodes}


def document_of(graph: Graph, style: Style, *, isolate: bool) -> dict[str, Any]:
    """One transform node for each node of the graph.

    plain: the node reads its parents' numbers by plain path. computed: one expression over all its parents.
    `isolate` gives every node an activity of its own.
    """
    suffix = "isolated" if isolate else "local"
    nodes = [_node(graph, node, style, isolate=isolate) for node in range(len(graph.parents))]
    edges = [
        {"source": f"n{parent}", "target": f"n{node}"}
        for node, parents in enumerate(graph.parents)
        for parent in parents
    ]
    return {
        "schema_version": 1,
        "name": f"{graph.name}-{style}-{suffix}",
        "nodes": nodes,
        "edges": edges,
        # As many at once as the product allows: a hand-written workflow has no bound either.
        "settings": {"max_parallel_nodes": 500},
    }


def foreach_document(graph: Graph, *, isolate: bool) -> dict[str, Any]:
    """One loop with a pass for each node of the graph, each the transform node of `document_of` without parents."""
    node = {"id": "read", "type": "transform", "params": {"mapping": {"id": "{{ item }}", "parents": []}}}
    params = {
        "loop_type": "foreach",
        "items": f"{{{{ list(range({len(graph.parents)})) }}}}",
        "max_iterations": len(graph.parents),
        "concurrency": ABREAST,
        "body": {
            "nodes": [node | {"isolate": True} if isolate else node],
            "edges": [],
            "outputs": "{{ nodes.read.output }}",
        },
    }
    return {
        "schema_version": 1,
        "name": f"foreach-{'isolated' if isolate else 'local'}",
        "nodes": [{"id": "each", "type": "loop", "params": params, "timeout": "1h"}],
        "edges": [],
        "settings": {"max_parallel_nodes": 500},
        "outputs": {"items": "{{ nodes.each.output.items }}"},
    }


def _node(graph: Graph, node: int, style: Style, *, isolate: bool) -> dict[str, Any]:
    parents = graph.parents[node]
    made = {"id": f"n{node}", "type": "transform", "params": {"mapping": _mapping(node, parents, style)}}
    return made | {"isolate": True} if isolate else made


def _mapping(node: int, parents: tuple[int, ...], style: Style) -> dict[str, Any]:
    if style == "plain":
        return {"id": node, "parents": [f"{{{{ nodes.n{parent}.output.id }}}}" for parent in parents]}
    if not parents:
        return {"depth": "{{ 0 + 1 }}"}
    read = ", ".join(f"nodes.n{parent}.output.depth" for parent in parents[:MOST_COMPUTED_PARENTS])
    return {"depth": f"{{{{ max([{read}]) + 1 }}}}"}


def expected_outputs(graph: Graph, style: Style) -> dict[str, dict[str, Any]]:
    """Output of every node by its path."""
    if style == "plain":
        return {f"n{node}": {"id": node, "parents": list(parents)} for node, parents in enumerate(graph.parents)}
    depths: list[int] = []
    for parents in graph.parents:
        depths.append(1 + max((depths[parent] for parent in parents[:MOST_COMPUTED_PARENTS]), default=0))
    return {f"n{node}": {"depth": depth} for node, depth in enumerate(depths)}
