"""An I/O node that does what the transform nodes of the comparison do, so that only the dispatch differs."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from structforge.plugin import NodeContext, NodeParams, NodeResult, node


class ReadParams(NodeParams):
    """Give the mapping back."""

    mapping: dict[str, Any] = Field(description="What the node gives")


@node("bench.read", category="integration", kind="io", result=dict[str, Any])
async def read(params: ReadParams, context: NodeContext) -> NodeResult:
    return NodeResult(params.mapping)
