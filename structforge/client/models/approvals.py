"""Bodies of approvals. Written by docs/generate.py from the OpenAPI document: change the API, not this file."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from structforge.client.shapes import ReplyModel


class DecisionReply(ReplyModel):
    """What a person has said. `form` is left out of lists."""

    by: str
    decision: str
    form: Any
    comment: str
    at: datetime


class ApprovalReply(ReplyModel):
    """A node execution that asks people, or has asked. Times are UTC."""

    id: UUID
    execution_id: UUID
    workflow_id: UUID
    workflow_name: str
    path: str
    iteration: list[int]
    generation: int
    status: str
    message: str
    form: dict[str, Any] | None
    approvers: list[str]
    quorum: int
    allow_self: bool
    started_by: str
    decisions: list[DecisionReply]
    deadline: datetime | None
    created_at: datetime
    closed_at: datetime | None


class WaitingCount(ReplyModel):
    """For a badge: how many approvals wait for the caller, up to 1000."""

    count: int
