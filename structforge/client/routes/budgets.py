"""Routes of budgets. Written by docs/generate.py from the OpenAPI document: change the API, not this file."""

from __future__ import annotations

from typing import Literal

from structforge.client.calls import Call, Id, call, key, listing, part
from structforge.client.models.budgets import BudgetReply
from structforge.client.shapes import Page
from structforge.client.unset import UNSET, Unset


class BudgetsRoutes:
    """Routes of budgets."""

    @listing
    def list_budgets(self, *, cursor: str | None = None, limit: int | None = None) -> Call[Page[BudgetReply]]:
        """Budgets, newest first, with what is used of them."""
        return Call("GET", "/api/v1/budgets", Page[BudgetReply], params={"cursor": cursor, "limit": limit})

    @call
    def create_budget(
        self,
        period: Literal["day", "month", "total"],
        *,
        tokens: int | Unset | None = UNSET,
        cost: float | str | Unset | None = UNSET,
        workflow_id: Id | Unset | None = UNSET,
        idempotency_key: str | None = None,
    ) -> Call[BudgetReply]:
        """Bound what AI calls may use in a period, what is used already included. 409 if there is such a budget."""
        return Call(
            "POST",
            "/api/v1/budgets",
            BudgetReply,
            headers={"Idempotency-Key": key(idempotency_key)},
            body={"tokens": tokens, "cost": cost, "workflow_id": workflow_id, "period": period},
        )

    @call
    def get_budget(self, budget_id: Id) -> Call[BudgetReply]:
        """One budget with what is used of it."""
        return Call("GET", f"/api/v1/budgets/{part(budget_id)}", BudgetReply)

    @call
    def change_budget(
        self,
        budget_id: Id,
        *,
        tokens: int | Unset | None = UNSET,
        cost: float | str | Unset | None = UNSET,
    ) -> Call[BudgetReply]:
        """Set both bounds; calls that begin from now on are held to them."""
        return Call("PUT", f"/api/v1/budgets/{part(budget_id)}", BudgetReply, body={"tokens": tokens, "cost": cost})

    @call
    def delete_budget(self, budget_id: Id) -> Call[None]:
        """Remove a budget: nothing is bounded by it any more."""
        return Call("DELETE", f"/api/v1/budgets/{part(budget_id)}", type(None))
