"""Bodies of budgets. Written by docs/generate.py from the OpenAPI document: change the API, not this file."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from structforge.client.shapes import ReplyModel


class BudgetReply(ReplyModel):
    """A budget with what is used of it in its present period; `reserved_...` is held by calls that run."""

    id: UUID
    scope: str
    workflow_id: UUID | None
    period: str
    tokens: int | None
    cost: float | None
    used_tokens: int
    used_cost: float
    reserved_tokens: int
    reserved_cost: float
    frees_at: datetime | None
    created_at: datetime
    updated_at: datetime
