"""AI budgets: how many tokens and how much money a tenant or a workflow may use."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any, cast
from uuid import UUID

from sqlalchemy import Numeric, UniqueConstraint
from sqlmodel import Field, SQLModel

from models.tables.columns import created, number, words


class AiBudget(SQLModel, table=True):
    """`scope` is tenant or workflow, `key` the workflow's id or empty; `period` is day, month (both in UTC) or total.

    `tokens` and `cost` are the most that may be used in a period; null does not bound.
    """

    __tablename__ = cast("Any", "ai_budget")
    __table_args__ = (UniqueConstraint("tenant_id", "scope", "key", "period", name="ai_budget_scope_key"),)

    tenant_id: UUID = Field(primary_key=True)
    id: UUID = Field(primary_key=True)
    scope: str = words()
    key: str = words(default="")
    period: str = words()
    tokens: int | None = number()
    cost: Decimal | None = Field(default=None, sa_type=Numeric, nullable=True)
    created_at: datetime = created()
    updated_at: datetime = created()
