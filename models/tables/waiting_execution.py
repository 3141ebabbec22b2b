"""Executions that wait for a slot."""

from __future__ import annotations

from datetime import datetime
from typing import Any, cast
from uuid import UUID

from sqlalchemy import BigInteger, Index, SmallInteger, text
from sqlmodel import Field, SQLModel

from models.tables.columns import created, words


class WaitingExecution(SQLModel, table=True):
    """One execution in the queue of its tenant: the lowest `priority` goes first, then the lowest `position`."""

    __tablename__ = cast("Any", "waiting_execution")
    __table_args__ = (
        Index("waiting_execution_order_idx", "tenant_id", "priority", "position"),
        Index(
            "waiting_execution_parent_idx",
            "tenant_id",
            "parent_execution_id",
            postgresql_where=text("parent_execution_id IS NOT NULL"),
        ),
    )

    tenant_id: UUID = Field(primary_key=True)
    execution_id: UUID = Field(primary_key=True)
    workflow_id: UUID
    version_id: UUID
    started_by: str = words(default="")
    parent_execution_id: UUID | None = None
    priority: int = Field(default=3, sa_type=SmallInteger, sa_column_kwargs={"server_default": text("3")})
    position: int = Field(
        default=0,
        sa_type=BigInteger,
        sa_column_kwargs={"server_default": text("nextval('waiting_execution_seq')")},
    )
    created_at: datetime = created()
