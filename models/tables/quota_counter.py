"""Quota counters, held exactly: they change in the transaction that they count."""

from __future__ import annotations

from datetime import datetime
from typing import Any, cast
from uuid import UUID

from sqlalchemy import Index, text
from sqlmodel import Field, SQLModel

from models.tables.columns import moment, number, words


class QuotaCounter(SQLModel, table=True):
    """`value` of one counter: `scope` is the quota's kind, `key` its subject, after the period if it has one.

    Times are in milliseconds. What has expired counts no more; a counter that is missing is counted afresh.
    """

    __tablename__ = cast("Any", "quota_counter")
    __table_args__ = (
        Index("quota_counter_expires_idx", "expires_at", postgresql_where=text("expires_at IS NOT NULL")),
    )

    tenant_id: UUID = Field(primary_key=True)
    scope: str = words(primary_key=True)
    key: str = words(primary_key=True)
    value: int = number(0)
    expires_at: datetime | None = moment()
