"""Quotas: how much a tenant, its people and its workflows may use."""

from __future__ import annotations

from datetime import datetime
from typing import Any, cast
from uuid import UUID

from sqlmodel import Field, SQLModel

from models.tables.columns import created, number, words


class Quota(SQLModel, table=True):
    """At most `amount` of `kind` for a subject, in each `period` (hour, day, month) if there is one.

    `subject` is `tenant`, `user:<id>`, `workflow:<id>`, or `user` or `workflow` for each that has no rule of its own.
    Kind `document` is what a version's document says of itself: subject `version:<id>`; its workflow has one of 0.
    """

    __tablename__ = cast("Any", "quota")

    tenant_id: UUID = Field(primary_key=True)
    subject: str = words(primary_key=True)
    kind: str = words(primary_key=True)
    period: str = words(default="", primary_key=True)
    amount: int = number(0)
    updated_at: datetime = created()
