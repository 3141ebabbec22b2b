"""Messages of live streams. SSE and WebSocket carry the same ones."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

Event = Literal[
    "node.started", "node.retrying", "node.waiting", "node.finished", "node.partial", "log", "execution.status",
    "execution.finished", "reset", "end",
]  # fmt: skip
EndReason = Literal["time", "too_slow", "stopping", "access", "fault", "finished"]


class Message(BaseModel):
    """What a message's data holds."""

    model_config = ConfigDict(frozen=True)


class NodeMessage(Message):
    """`node.started`, `.retrying`, `.waiting` or `.finished`: a node execution as it is now.

    A node that went through several states since the last message comes once, in the newest one.
    """

    execution_id: UUID
    workflow_id: UUID
    path: str
    type: str
    iteration: list[int]
    generation: int
    status: str
    reason: str | None
    attempts: int
    execution_attempt: int
    port: str | None
    started_at: datetime | None
    finished_at: datetime | None
    duration_ms: float | None
    error: dict[str, Any] | None


class ExecutionMessage(Message):
    """`execution.status` or `execution.finished`."""

    execution_id: UUID
    workflow_id: UUID
    workflow_name: str
    status: str
    reason: str | None
    trigger: str
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    duration_ms: float | None
    error: dict[str, Any] | None


class LineMessage(Message):
    """`log`: a line of an execution's log."""

    execution_id: UUID
    workflow_id: UUID
    seq: int
    at: datetime
    level: str
    path: str | None
    iteration: list[int] | None
    attempt: int | None
    message: str
    fields: dict[str, Any] | None


class PartialMessage(Message):
    """`node.partial`: a piece of the text that a running node has so far. Pieces may be missing, and none has an id."""

    execution_id: UUID
    node: str = Field(description="path[iteration]#generation")
    attempt: int
    offset: int = Field(description="Characters of the attempt's text before this piece")
    text: str


class ResetMessage(Message):
    """`reset`: the database is not the one that the client's last id is of, so everything is told anew."""


class EndMessage(Message):
    """`end`: the stream ends here. Whoever comes back with the last id misses nothing, if `resume` says so."""

    reason: EndReason
    resume: bool
    detail: str = ""
