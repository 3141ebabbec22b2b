"""Control: run another workflow as a child execution."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from engine.nodes.base import NodeContext, NodeParams, ResultModel, node


class WorkflowParams(NodeParams):
    """Run another workflow as a child execution, and go on with its outputs.

    With `wait: false` the child is started and left to itself; only its id is known.
    """

    workflow: str = Field(min_length=1, max_length=200, description="Name or id of the workflow")
    version: int | None = Field(default=None, ge=1, description="Version number; the published one if left out")
    input: Any = Field(default=None, description="Execution input of the child; the upstream output if left out")
    wait: bool = Field(default=True, description="Whether to wait for the child's end")


class WorkflowResult(ResultModel):
    outputs: Any = Field(default=None, description="The child's outputs; null if it was not waited for")
    execution_id: str = Field(description="The child's execution id")


@node(
    "workflow",
    category="control",
    kind="durable",
    icon="workflow",
    result=WorkflowResult,
    reads_upstream=True,
    examples=[
        {"title": "A shared step", "params": {"workflow": "enrich-customer", "input": {"id": "{{ input.customer }}"}}}
    ],
)
async def open_workflow(params: WorkflowParams, context: NodeContext) -> dict[str, Any]:
    """`{"workflow": str, "version": int | None, "input": data, "wait": bool}`."""
    given = "input" in params.model_fields_set
    return {**params.model_dump(), "input": params.input if given else context.upstream}
