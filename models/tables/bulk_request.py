"""Bulk commands that may be repeated by their key."""

from __future__ import annotations

from datetime import datetime
from typing import Any, cast
from uuid import UUID

from sqlalchemy import ARRAY, Index, LargeBinary, Uuid
from sqlmodel import Field, SQLModel

from models.tables.columns import created, document, words


class BulkRequest(SQLModel, table=True):
    """A bulk command: the executions that it chose when it came first, and what became of each, null until its end."""

    __tablename__ = cast("Any", "bulk_request")
    __table_args__ = (Index("bulk_request_created_idx", "tenant_id", "created_at"),)

    tenant_id: UUID = Field(primary_key=True)
    key: str = words(primary_key=True)
    request_digest: bytes = Field(sa_type=LargeBinary)
    execution_ids: list[UUID] = Field(sa_type=ARRAY(Uuid), nullable=False)  # pyright: ignore[reportArgumentType]
    results: list[dict[str, Any]] | None = document()
    created_at: datetime = created()
