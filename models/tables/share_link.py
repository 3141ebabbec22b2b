"""Sharing links: only the hashes of their tokens."""

from __future__ import annotations

from datetime import datetime
from typing import Any, cast
from uuid import UUID

from sqlalchemy import DateTime, Index, UniqueConstraint
from sqlmodel import Field, SQLModel

from models.tables.columns import created, moment, number, words


class ShareLink(SQLModel, table=True):
    """What lets anybody with the token see one workflow (`role` viewer) or run it too (executor), until it expires.

    `hash` is the hexadecimal SHA-256 of 256 random bits; `uses` counts the requests that it let in.
    """

    __tablename__ = cast("Any", "share_link")
    __table_args__ = (
        UniqueConstraint("hash", name="share_link_hash_key"),
        Index("share_link_workflow_idx", "tenant_id", "workflow_id", "id"),
    )

    tenant_id: UUID = Field(primary_key=True)
    id: UUID = Field(primary_key=True)
    workflow_id: UUID
    hash: str = words()
    role: str = words()
    note: str = words(default="")
    created_by: str = words(default="")
    created_at: datetime = created()
    expires_at: datetime = Field(nullable=False, sa_type=cast("Any", DateTime(timezone=True)))
    revoked_at: datetime | None = moment()
    last_used_at: datetime | None = moment()
    uses: int = number(0)
