"""The outbox: what must be told to others once a transaction has committed."""

from __future__ import annotations

from datetime import datetime
from typing import Any, cast
from uuid import UUID

from sqlalchemy import Index, Integer, text
from sqlmodel import Field, SQLModel

from models.tables.columns import created, moment, structure, words

_NOBODY = "'00000000-0000-0000-0000-000000000000'"
_TO_DO = text("delivered_at IS NULL AND parked_at IS NULL")


class Outbox(SQLModel, table=True):
    """One message; delivered at least once.

    `attempts` counts deliveries that were begun, and nobody begins another before `next_try`. A message that fails too
    often is parked, with its last `failure`, until somebody asks for it again.
    """

    __tablename__ = cast("Any", "outbox")
    __table_args__ = (
        Index("outbox_due_idx", "next_try", postgresql_where=_TO_DO),
        Index("outbox_parked_idx", "tenant_id", "parked_at", postgresql_where=text("parked_at IS NOT NULL")),
        Index("outbox_delivered_idx", "delivered_at", postgresql_where=text("delivered_at IS NOT NULL")),
    )

    tenant_id: UUID = Field(primary_key=True)
    id: UUID = Field(primary_key=True, sa_column_kwargs={"server_default": text("gen_random_uuid()")})
    kind: str = words()
    payload: dict[str, Any] = structure(nullable=False)
    created_at: datetime = created()
    delivered_at: datetime | None = moment()
    attempts: int = Field(default=0, sa_type=Integer, sa_column_kwargs={"server_default": text("0")})
    next_try: datetime = created()
    parked_at: datetime | None = moment()
    failure: str | None = words(nullable=True)


class OutboxInterest(SQLModel, table=True):
    """A `listener` waits for messages of a kind: of one workflow, or of all (`workflow_id` of zeros).

    Only `execution.finished` is asked about: its messages reach nobody where no event trigger and no row here is.
    """

    __tablename__ = cast("Any", "outbox_interest")

    tenant_id: UUID = Field(primary_key=True)
    kind: str = words(primary_key=True)
    workflow_id: UUID = Field(primary_key=True, sa_column_kwargs={"server_default": text(_NOBODY)})
    listener: str = words(primary_key=True)
