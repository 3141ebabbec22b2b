"""Bodies of executions. Written by docs/generate.py from the OpenAPI document: change the API, not this file."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from structforge.client.shapes import ReplyModel, RequestModel


class BulkResult(ReplyModel):
    """What became of one execution; `started` is the new execution of a rerun, `nodes` how many were tried again."""

    id: UUID
    done: bool
    code: str | None
    detail: str | None
    started: UUID | None
    nodes: int | None


class ExecutionReply(ReplyModel):
    """An execution without its input and output. Times are UTC."""

    id: UUID
    workflow_id: UUID
    workflow_name: str
    version_id: UUID
    status: str
    reason: str | None
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
    started_by: str
    trace_id: str
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    duration_ms: float | None


class BulkReply(ReplyModel):
    """`matched` executions fit the filter and can take the action, counted up to `matched_at_most`. `first` names up
    to 20 of them if it was a dry run, `results` says what became of each if not. `refused` of those looked at are
    left out because the caller may not control them.
    """

    action: str
    dry_run: bool
    matched: int
    matched_at_most: int
    refused: int
    first: list[ExecutionReply]
    results: list[BulkResult]


class ExecutionDetail(ReplyModel):
    """An execution with its data. Data over the limit are left out unless the request says `full=true`: then
    `..._omitted` is true. `nodes` counts node executions by status.
    """

    id: UUID
    workflow_id: UUID
    workflow_name: str
    version_id: UUID
    status: str
    reason: str | None
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
    started_by: str
    trace_id: str
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    duration_ms: float | None
    input: Any
    input_bytes: int
    input_omitted: bool
    output: Any
    output_bytes: int
    output_omitted: bool
    nodes: dict[str, int]


class FilterRequest(RequestModel):
    """Which executions are meant; everything given must hold, and something must be given."""

    ids: list[UUID] | None = None
    workflow_id: UUID | None = None
    status: list[Literal["pending", "running", "paused", "success", "failed", "cancelled", "timed_out"]] | None = None
    trigger: str | None = None
    tag: str | None = None
    metadata: dict[str, str | bool | int | float] | None = None
    started_by: str | None = None
    parent: UUID | None = None
    rerun_of: UUID | None = None
    created_from: datetime | None = None
    created_before: datetime | None = None


class NodeUsage(ReplyModel):
    """What the AI calls of a node execution used; `model` and `provider` are null if there were several."""

    calls: int
    input_tokens: int
    output_tokens: int
    images: int
    cost: float | None
    model: str | None
    provider: str | None


class NodeExecutionReply(ReplyModel):
    """One node execution. `seq` grows with every change, over the whole installation."""

    path: str
    type: str
    iteration: list[int]
    generation: int
    status: str
    reason: str | None
    attempts: int
    lost: int
    execution_attempt: int
    port: str | None
    input: Any
    input_bytes: int
    input_omitted: bool
    output: Any
    output_bytes: int
    output_omitted: bool
    error: dict[str, Any] | None
    started_at: datetime | None
    finished_at: datetime | None
    duration_ms: float | None
    worker: str | None
    cached: bool
    usage: NodeUsage | None
    seq: int
