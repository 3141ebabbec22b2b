"""Control: run branches side by side."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from engine.dag.durations import Duration
from engine.nodes.base import Graph, NodeContext, NodeParams, node
from engine.nodes.param_issues import structure_error


class ParallelParams(NodeParams):
    """Run branches, each a graph of its own, side by side; the output is `{branch id: its outputs}`.

    `wait: any` or a number goes on once so many branches have succeeded and cancels the others; it fails once that
    number is out of reach.
    """

    branches: Annotated[list[Any] | None, Graph()] = Field(
        default=None, min_length=1, description="[{id, nodes, edges, outputs}]"
    )
    wait: Literal["all", "any"] | Annotated[int, Field(ge=1)] = Field(
        default="all", description="all, any, or how many branches must succeed"
    )
    timeout: Duration | None = Field(default=None, description="Longest time for all branches; then TIMEOUT")

    @model_validator(mode="after")
    def _enough_branches(self) -> Self:
        if self.branches is not None and isinstance(self.wait, int) and self.wait > len(self.branches):
            raise structure_error(f"wait asks for {self.wait} branches and there are {len(self.branches)}")
        return self


@node(
    "parallel",
    category="control",
    kind="container",
    icon="columns",
    result=dict[str, Any],
    examples=[
        {
            "title": "Two at once",
            "params": {
                "branches": [
                    {"id": "left", "nodes": [{"id": "a", "type": "transform", "params": {"mapping": 1}}]},
                    {"id": "right", "nodes": [{"id": "b", "type": "transform", "params": {"mapping": 2}}]},
                ],
            },
        }
    ],
)
async def open_parallel(params: ParallelParams, context: NodeContext) -> dict[str, Any]:
    """`{"wait": "all" | "any" | n, "timeout_s": float | None}`."""
    timeout_s = None if params.timeout is None else params.timeout.total_seconds()
    return {"wait": params.wait, "timeout_s": timeout_s}
