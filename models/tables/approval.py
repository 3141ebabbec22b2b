"""Approvals: what waits for people, and what they said."""

from __future__ import annotations

from datetime import datetime
from typing import Any, cast
from uuid import UUID

from sqlalchemy import ARRAY, Boolean, Index, Integer, Text, text
from sqlmodel import Field, SQLModel

from models.tables.columns import created, document, moment, words

_ONE = {"server_default": text("1")}


class Approval(SQLModel, table=True):
    """One asking of people by a node execution. What counts is in the Temporal workflow `temporal_id`; this shows it.

    `status` is open, approved, rejected, timeout or cancelled. `form` is the JSON Schema of what an approver fills in;
    `decisions` are `[{by, decision, form, comment, at}]` with `form` a Value and `at` in seconds since the epoch.
    `approvers` are people and `role:<name>`, empty for anybody who may run the workflow; with `allow_self` false the
    person who started the execution is no approver.
    """

    __tablename__ = cast("Any", "approval")
    __table_args__ = (
        Index("approval_open_idx", "tenant_id", "id", postgresql_where=text("status = 'open'")),
        Index("approval_execution_idx", "tenant_id", "execution_id", "node_path"),
    )

    tenant_id: UUID = Field(primary_key=True)
    id: UUID = Field(primary_key=True)
    execution_id: UUID
    workflow_id: UUID
    workflow_name: str = words()
    temporal_id: str = words()
    node_path: str = words()
    iteration: list[int] = Field(sa_type=ARRAY(Integer), nullable=False)  # pyright: ignore[reportArgumentType]
    generation: int = Field(sa_type=Integer)
    execution_attempt: int = Field(default=1, sa_type=Integer, sa_column_kwargs=_ONE)
    status: str = words(default="open")
    message: str = words(default="")
    form: dict[str, Any] | None = document()
    approvers: list[str] = Field(sa_type=ARRAY(Text), nullable=False)  # pyright: ignore[reportArgumentType]
    quorum: int = Field(default=1, sa_type=Integer, sa_column_kwargs=_ONE)
    allow_self: bool = Field(default=False, sa_type=Boolean, sa_column_kwargs={"server_default": text("false")})
    started_by: str = words(default="")
    decisions: list[dict[str, Any]] = document(nullable=False)
    deadline: datetime | None = moment()
    created_at: datetime = created()
    closed_at: datetime | None = moment()
