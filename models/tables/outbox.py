"""The outbox: what must be told to others once a transaction has committed."""

from __future__ import annotations

from datetime import datetime
from typing import Any, cast
from uuid import UUID

from sqlalchemy import Index, text
from sqlmodel import Field, SQLModel

from models.tables.columns import created, moment, structure, words


class Outbox(SQLModel, table=True):
    """One message; delivered at least once, by `id` order within a tenant."""

    __tablename__ = cast("Any", "outbox")
    __table_args__ = (Index("outbox_undelivered_idx", "created_at", postgresql_where=text("delivered_at IS NULL")),)

    tenant_id: UUID = Field(primary_key=True)
    id: UUID = Field(primary_key=True, sa_column_kwargs={"server_default": text("gen_random_uuid()")})
    kind: str = words()
    payload: dict[str, Any] = structure(nullable=False)
    created_at: datetime = created()
    delivered_at: datetime | None = moment()
