"""The nodes of a document, nested ones included, and the graphs they stand in."""

from __future__ import annotations

from typing import Any

from engine.dag.spec import NodeSpec, WorkflowSpec
from tests.reference.frames import body_of, branches_of


def graphs_of(spec: WorkflowSpec) -> list[tuple[Any, list[NodeSpec]]]:
    found: list[tuple[Any, list[NodeSpec]]] = []
    pending: list[Any] = [spec.graph, spec.handlers]
    while pending:
        graph = pending.pop()
        found.append((graph, graph.nodes))
        for node in graph.nodes:
            if node.type == "loop":
                pending.append(body_of(node))
            elif node.type == "parallel":
                pending += [branch for _, branch in branches_of(node)]
    return found


def specs_by_path(spec: WorkflowSpec) -> dict[str, NodeSpec]:
    found: dict[str, NodeSpec] = {}

    def add(nodes: list[NodeSpec], prefix: str) -> None:
        for node in nodes:
            found[prefix + node.id] = node
            if node.type == "loop":
                add(body_of(node).nodes, f"{prefix}{node.id}.body.")
            elif node.type == "parallel":
                for name, branch in branches_of(node):
                    add(branch.nodes, f"{prefix}{node.id}.{name}.")

    add(spec.nodes, "")
    add(spec.handlers.nodes, "")
    return found
