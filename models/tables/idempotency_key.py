"""Idempotency keys of requests that start executions."""

from __future__ import annotations

from datetime import datetime
from typing import Any, cast
from uuid import UUID

from sqlalchemy import Index, LargeBinary
from sqlmodel import Field, SQLModel

from models.tables.columns import created, words


class IdempotencyKey(SQLModel, table=True):
    """`key` of a tenant within `kind` (the route or source) leads to one execution.

    It has a table of its own because a partitioned table cannot hold its unique key. `request_digest` is the SHA-256
    of the request: the same key with another request is a conflict.
    """

    __tablename__ = cast("Any", "idempotency_key")
    __table_args__ = (Index("idempotency_key_created_idx", "created_at"),)

    tenant_id: UUID = Field(primary_key=True)
    kind: str = words(primary_key=True)
    key: str = words(primary_key=True)
    execution_id: UUID
    request_digest: bytes = Field(sa_type=LargeBinary)
    created_at: datetime = created()
