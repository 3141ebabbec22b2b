"""Bodies of the execution routes."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import Field, StringConstraints

from api.schemas import Money, Reply, Request
from api.statuses import ExecutionStatus, NodeStatus

Label = Annotated[str, StringConstraints(max_length=500)] | bool | int | float
Labels = Annotated[
    dict[Annotated[str, StringConstraints(min_length=1, max_length=100)], Label],
    Field(max_length=50, description="Searchable labels of the execution"),
]


class StartRequest(Request):
    """What an execution is started with."""

    input: Any = Field(default=None, description="Execution input; the defaults of the document's `inputs` fill it up")
    trigger: str | None = Field(default=None, max_length=200, description="Id of the trigger node; needed if several")
    trigger_key: str | None = Field(
        default=None, min_length=1, max_length=200, description="Key of a manual trigger, in place of its id"
    )
    metadata: Labels = Field(default_factory=dict[str, Label])
    version: int | None = Field(default=None, ge=1, description="Version number; the published one if left out")
    priority: int | None = Field(default=None, ge=1, le=5, description="1 urgent to 5 background")


class StartDocumentRequest(Request):
    """A document to save under its name and to start at once."""

    document: dict[str, Any] | str = Field(description="The workflow document, or its YAML or JSON text")
    input: Any = None
    trigger: str | None = Field(default=None, max_length=200)
    trigger_key: str | None = Field(default=None, min_length=1, max_length=200)
    metadata: Labels = Field(default_factory=dict[str, Label])
    priority: int | None = Field(default=None, ge=1, le=5)


class RerunRequest(Request):
    """Repeat an execution from a top-level node on; without `from_node`, whole."""

    from_node: str | None = Field(default=None, min_length=1, max_length=200)
    input: Any = Field(default=None, description="Another execution input; the old one if left out")
    version: int | None = Field(
        default=None,
        ge=1,
        le=2**31 - 1,
        description="Number of another version of the workflow; what is kept must fit into it",
    )


class SkipRequest(Request):
    """Give a node an output in place of running it."""

    iteration: list[Annotated[int, Field(ge=0, lt=2**31)]] = Field(default=[], max_length=32)
    output: Any = None


class RetryRequest(Request):
    """Try a waiting node again now."""

    iteration: list[Annotated[int, Field(ge=0, lt=2**31)]] = Field(default=[], max_length=32)


class ExecutionReply(Reply):
    """An execution without its input and output. Times are UTC."""

    id: UUID
    workflow_id: UUID
    workflow_name: str
    version_id: UUID
    status: ExecutionStatus
    reason: str | None = Field(default=None, description="`queued` while it is pending and waits for a slot")
    trigger: str
    trigger_node: str | None
    error: dict[str, Any] | None
    attempt: int
    handled_failures: int
    priority: int
    metadata: dict[str, Any]
    parent_execution_id: UUID | None
    rerun_of: UUID | None
    rerun_from: str | None
    started_by: str = Field(default="", description="The person who started it; empty if no person did")
    trace_id: str = Field(description="Its trace at OpenTelemetry's collector and in log lines, 32 hexadecimal digits")
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    duration_ms: float | None


class ExecutionDetail(ExecutionReply):
    """An execution with its data.

    Data over the limit are left out unless the request says `full=true`: then `..._omitted` is true.
    `nodes` counts node executions by status.
    """

    input: Any = None
    input_bytes: int = 0
    input_omitted: bool = False
    output: Any = None
    output_bytes: int = 0
    output_omitted: bool = False
    nodes: dict[str, int] = Field(default_factory=dict[str, int])


class NodeUsage(Reply):
    """What the AI calls of a node execution used; `model` and `provider` are null if there were several."""

    calls: int
    input_tokens: int
    output_tokens: int
    images: int
    cost: Money | None
    model: str | None
    provider: str | None


class NodeExecutionReply(Reply):
    """One node execution. `seq` grows with every change, over the whole installation."""

    path: str
    type: str
    iteration: list[int]
    generation: int
    status: NodeStatus
    reason: str | None
    attempts: int
    lost: int
    execution_attempt: int
    port: str | None
    input: Any = Field(default=None, description="Its resolved parameters, as far as they are recorded")
    input_bytes: int = 0
    input_omitted: bool = False
    output: Any = None
    output_bytes: int = 0
    output_omitted: bool = False
    error: dict[str, Any] | None
    started_at: datetime | None
    finished_at: datetime | None
    duration_ms: float | None
    worker: str | None
    cached: bool
    usage: NodeUsage | None = Field(default=None, description="What its AI calls used, over all attempts")
    seq: int
