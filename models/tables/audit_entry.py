"""The audit log."""

from __future__ import annotations

from datetime import datetime
from typing import Any, cast
from uuid import UUID

from sqlalchemy import Index, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel

from models.tables.columns import created, words


class AuditEntry(SQLModel, table=True):
    """A change, or a try that was refused. The application may insert rows here and neither change nor remove one.

    `actor_kind` is user (with or without a key), key (of no person), share (`key_id` is the link's id) or nobody;
    `outcome` is done, or refused for a `reason`. The nil tenant holds the tries of callers whom nobody knows.
    """

    __tablename__ = cast("Any", "audit_entry")
    __table_args__ = (
        Index("audit_entry_target_idx", "tenant_id", "target_kind", "target_id", "id"),
        Index("audit_entry_user_idx", "tenant_id", "user_id", "id", postgresql_where=text("user_id IS NOT NULL")),
        Index("audit_entry_outcome_idx", "outcome", "at"),
    )

    tenant_id: UUID = Field(primary_key=True)
    id: UUID = Field(primary_key=True)
    at: datetime = created()
    actor_kind: str = words()
    user_id: UUID | None = None
    key_id: UUID | None = None
    actor_name: str = words(default="")
    action: str = words()
    target_kind: str = words(default="")
    target_id: str = words(default="")
    outcome: str = words()
    reason: str = words(default="")
    request_id: str = words(default="")
    address: str = words(default="")
    facts: dict[str, Any] = Field(
        default={}, sa_type=JSONB, nullable=False, sa_column_kwargs={"server_default": text("'{}'::jsonb")}
    )
