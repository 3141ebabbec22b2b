"""Trigger: started by hand, by the API or by the CLI."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from engine.dag.durations import Duration
from engine.nodes.base import NodeContext, NodeParams, NodeResult, node


class ManualParams(NodeParams):
    """Start an execution by hand, by the API or by the command line; its output is the execution input."""

    trigger_key: str | None = Field(
        default=None, min_length=1, max_length=200, description="Name by which a start may ask for this trigger"
    )
    timeout: Duration | None = Field(default=None, description="How long a caller that waits is kept waiting")


@node(
    "manual",
    category="trigger",
    kind="trigger",
    ports=("out",),
    icon="hand",
    result=Any,
    reads_upstream=True,
    examples=[{"title": "Start by hand", "params": {}}],
)
async def manual(params: ManualParams, context: NodeContext) -> NodeResult:
    return NodeResult(context.upstream)
