"""The ledger of AI calls, and what it adds up to by day."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Any, cast
from uuid import UUID

from sqlalchemy import ARRAY, Date, DateTime, Index, Integer, Numeric, text
from sqlmodel import Field, SQLModel

from models.tables.columns import created, moment, number, words

_ZERO = {"server_default": text("0")}


class AiCall(SQLModel, table=True):
    """One call to a provider, by an attempt of a node execution.

    `status` is reserved (it runs; `reserved_tokens` and `reserved_cost` are kept free for it until `expires_at`),
    settled (it was answered; tokens and cost are real) or released (it came to nothing). `ask` counts the calls of an
    attempt, `holder` is the worker process. `cost` is null if the model has no price.
    """

    __tablename__ = cast("Any", "ai_call")
    __table_args__ = (
        Index("ai_call_execution_idx", "tenant_id", "execution_id"),
        Index("ai_call_workflow_idx", "tenant_id", "workflow_id", "created_at"),
        Index("ai_call_created_idx", "tenant_id", "created_at"),
        Index("ai_call_open_idx", "tenant_id", "expires_at", postgresql_where=text("status = 'reserved'")),
    )

    tenant_id: UUID = Field(primary_key=True)
    id: UUID = Field(primary_key=True)
    execution_id: UUID
    workflow_id: UUID
    node_path: str = words()
    iteration: list[int] = Field(sa_type=ARRAY(Integer), nullable=False)  # pyright: ignore[reportArgumentType]
    generation: int = Field(sa_type=Integer)
    attempt: int = Field(sa_type=Integer)
    ask: int = Field(default=0, sa_type=Integer, sa_column_kwargs=_ZERO)
    holder: UUID
    model: str = words()
    provider: str = words()
    status: str = words(default="reserved")
    reserved_tokens: int = number(0)
    reserved_cost: Decimal = Field(default=Decimal(0), sa_type=Numeric, nullable=False, sa_column_kwargs=_ZERO)
    input_tokens: int = number(0)
    output_tokens: int = number(0)
    images: int = Field(default=0, sa_type=Integer, sa_column_kwargs=_ZERO)
    cost: Decimal | None = Field(default=None, sa_type=Numeric, nullable=True)
    error_code: str | None = words(nullable=True)
    created_at: datetime = created()
    settled_at: datetime | None = moment()
    expires_at: datetime = Field(sa_type=cast("Any", DateTime(timezone=True)), nullable=False)


class AiSpend(SQLModel, table=True):
    """What the settled calls of a workflow used on a day (UTC); budgets add these up instead of the ledger."""

    __tablename__ = cast("Any", "ai_spend")

    tenant_id: UUID = Field(primary_key=True)
    workflow_id: UUID = Field(primary_key=True)
    day: date = Field(sa_type=Date, primary_key=True)
    calls: int = number(0)
    tokens: int = number(0)
    cost: Decimal = Field(default=Decimal(0), sa_type=Numeric, nullable=False, sa_column_kwargs=_ZERO)
