"""Webhooks: addresses of published workflows, and signatures that have been used."""

from __future__ import annotations

from datetime import datetime
from typing import Any, cast
from uuid import UUID

from sqlalchemy import DateTime, Index
from sqlmodel import Field, SQLModel

from models.tables.columns import words


class Hook(SQLModel, table=True):
    """Calls of `path` with `method` start `workflow_id` by its trigger `node`; rows follow the published version."""

    __tablename__ = cast("Any", "hook")
    __table_args__ = (Index("hook_workflow_idx", "tenant_id", "workflow_id"),)

    tenant_id: UUID = Field(primary_key=True)
    path: str = words(primary_key=True)
    method: str = words(primary_key=True)
    workflow_id: UUID
    node: str = words()


class HookNonce(SQLModel, table=True):
    """A signature that a call of `credential` has used. Past `expires_at` no call can use it for its age."""

    __tablename__ = cast("Any", "hook_nonce")
    __table_args__ = (Index("hook_nonce_expires_idx", "tenant_id", "expires_at"),)

    tenant_id: UUID = Field(primary_key=True)
    credential: str = words(primary_key=True)
    nonce: str = words(primary_key=True)
    expires_at: datetime = Field(sa_type=cast("Any", DateTime(timezone=True)), nullable=False)
