"""The document keeps within its limits."""

from __future__ import annotations

from collections.abc import Iterator

from engine.dag.validate.outline import Outline
from engine.errors import Issue


def check_sizes(outline: Outline) -> Iterator[Issue]:
    count = sum(len(graph.vertices) for graph in outline.graphs)
    limit = outline.limits.max_nodes
    if count > limit:
        message = f"the document has {count:,} nodes, the limit is {limit:,}; bodies and handlers count"
        hint = "split the workflow, or let a loop run one body over many items"
        yield Issue("TOO_MANY_NODES", "nodes", message, hint)
    for graph in outline.graphs:
        if graph.depth == outline.limits.max_body_depth + 1:
            message = f"bodies nest deeper than {outline.limits.max_body_depth}"
            yield Issue("BODIES_TOO_DEEP", graph.path, message, "move the inner part into a workflow of its own")
