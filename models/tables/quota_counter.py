"""Quota counters, held exactly: they change in the transaction that they count."""

from __future__ import annotations

from typing import Any, cast
from uuid import UUID

from sqlmodel import Field, SQLModel

from models.tables.columns import number, words


class QuotaCounter(SQLModel, table=True):
    """`value` of one counter, such as scope `concurrent_executions`, key a workflow's id."""

    __tablename__ = cast("Any", "quota_counter")

    tenant_id: UUID = Field(primary_key=True)
    scope: str = words(primary_key=True)
    key: str = words(primary_key=True)
    value: int = number(0)
