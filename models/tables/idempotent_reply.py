"""Replies to requests that may be repeated by their key."""

from __future__ import annotations

from datetime import datetime
from typing import Any, cast
from uuid import UUID

from sqlalchemy import Index, Integer, LargeBinary
from sqlmodel import Field, SQLModel

from models.tables.columns import created, structure


class IdempotentReply(SQLModel, table=True):
    """What a request of a caller was answered; `actor_id` is the person or the key.

    `key_hash` and `request_digest` are SHA-256 and HMAC-SHA-256 under the key itself. `body` is compressed by zlib, and
    null where the answer was for once. The status is null in the transaction that writes the row alone.
    """

    __tablename__ = cast("Any", "idempotent_reply")
    __table_args__ = (Index("idempotent_reply_created_idx", "tenant_id", "created_at"),)

    tenant_id: UUID = Field(primary_key=True)
    actor_id: UUID = Field(primary_key=True)
    key_hash: bytes = Field(sa_type=LargeBinary, primary_key=True)
    request_digest: bytes = Field(sa_type=LargeBinary)
    status: int | None = Field(default=None, sa_type=Integer, nullable=True)
    headers: dict[str, str] | None = structure()
    body: bytes | None = Field(default=None, sa_type=LargeBinary, nullable=True)
    created_at: datetime = created()
