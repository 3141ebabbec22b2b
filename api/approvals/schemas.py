"""Bodies of the approval routes."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Field

from api.schemas import Reply, Request
from api.statuses import ApprovalStatus


class DecisionRequest(Request):
    """A person's word."""

    decision: Literal["approved", "rejected"]
    form: Any = Field(default=None, description="The form filled in; an approval must fit the form's schema")
    comment: str = Field(default="", max_length=10_000)


class NodeDecisionRequest(DecisionRequest):
    """A person's word on a node that waits."""

    iteration: list[Annotated[int, Field(ge=0, lt=2**31)]] = Field(default=[], max_length=32)


class DecisionReply(Reply):
    """What a person has said. `form` is left out of lists."""

    by: str
    decision: Literal["approved", "rejected"]
    form: Any = None
    comment: str
    at: datetime


class WaitingCount(Reply):
    """For a badge: how many approvals wait for the caller, up to 1000."""

    count: int


class ApprovalReply(Reply):
    """A node execution that asks people, or has asked. Times are UTC."""

    id: UUID
    execution_id: UUID
    workflow_id: UUID
    workflow_name: str
    path: str = Field(description="Path of the node")
    iteration: list[int]
    generation: int
    status: ApprovalStatus
    message: str
    form: dict[str, Any] | None = Field(description="JSON Schema of what an approver fills in")
    approvers: list[str] = Field(description="People and role:<name>; empty: anybody who may run the workflow")
    quorum: int
    allow_self: bool
    started_by: str
    decisions: list[DecisionReply]
    deadline: datetime | None
    created_at: datetime
    closed_at: datetime | None
