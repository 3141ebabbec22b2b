"""Bodies of the routes of budgets."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Literal, Self
from uuid import UUID

from pydantic import Field, model_validator

from api.schemas import Money, Reply, Request

Tokens = Annotated[int, Field(ge=0, le=9_000_000_000_000_000)]
Cost = Annotated[Decimal, Field(ge=0, le=1_000_000_000_000, max_digits=30, decimal_places=12)]


class BudgetBounds(Request):
    """The most that may be used in a period; at least one of the two."""

    tokens: Tokens | None = Field(default=None, description="Tokens, in and out together")
    cost: Cost | None = Field(default=None, description="Money, in the currency of the models' prices")

    @model_validator(mode="after")
    def _bounds_something(self) -> Self:
        if self.tokens is None and self.cost is None:
            raise ValueError("a budget needs tokens, cost or both")
        return self


class BudgetRequest(BudgetBounds):
    """A budget of a workflow, or of the whole tenant."""

    workflow_id: UUID | None = Field(default=None, description="The workflow; the whole tenant if left out")
    period: Literal["day", "month", "total"] = Field(description="Days and months begin at midnight UTC")


class BudgetReply(Reply):
    """A budget with what is used of it in its present period; `reserved_...` is held by calls that run."""

    id: UUID
    scope: str = Field(description="tenant or workflow")
    workflow_id: UUID | None
    period: str
    tokens: int | None
    cost: Money | None
    used_tokens: int
    used_cost: Money
    reserved_tokens: int
    reserved_cost: Money
    frees_at: datetime | None = Field(description="When the next period begins; null for total")
    created_at: datetime
    updated_at: datetime
