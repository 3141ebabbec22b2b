"""Routes of budgets of AI calls."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

from fastapi import APIRouter, Response

from api.access import Caller
from api.auth import Identity
from api.budgets.schemas import BudgetBounds, BudgetReply, BudgetRequest
from api.cursors import Cursor, Limit, read_id, write_cursor
from api.permissions import Permission, requires
from api.resources import Held, Resources
from api.schemas import Page
from models.repositories.ai_budgets import AiBudgets
from models.repositories.ai_calls import period_end
from models.repositories.ai_usage import AiUsage
from models.repositories.workflows import Workflows
from models.tables import AiBudget

router = APIRouter(prefix="/budgets", tags=["budgets"])


@router.post("", status_code=201)
@requires(Permission.BUDGET_WRITE)
async def create_budget(body: BudgetRequest, response: Response, resources: Held, caller: Caller) -> BudgetReply:
    """Bound what AI calls may use in a period, what is used already included. 409 if there is such a budget."""
    if body.workflow_id is not None:
        await Workflows(resources.database).get(caller.tenant, body.workflow_id)
    row = await AiBudgets(resources.database).create(
        caller.tenant, body.workflow_id, body.period, tokens=body.tokens, cost=body.cost
    )
    response.headers["Location"] = f"/api/v1/budgets/{row.id}"
    return await _reply(resources, caller, row)


@router.get("")
@requires(Permission.BUDGET_READ)
async def list_budgets(resources: Held, caller: Caller, cursor: Cursor = None, limit: Limit = 50) -> Page[BudgetReply]:
    """Budgets, newest first, with what is used of them."""
    page = await AiBudgets(resources.database).list(caller.tenant, before=read_id(cursor), limit=limit)
    items = [await _reply(resources, caller, row) for row in page.items]
    return Page[BudgetReply](items=items, next=write_cursor(page.next))


@router.get("/{budget_id}")
@requires(Permission.BUDGET_READ)
async def get_budget(budget_id: UUID, resources: Held, caller: Caller) -> BudgetReply:
    """One budget with what is used of it."""
    return await _reply(resources, caller, await AiBudgets(resources.database).get(caller.tenant, budget_id))


@router.put("/{budget_id}")
@requires(Permission.BUDGET_WRITE)
async def change_budget(budget_id: UUID, body: BudgetBounds, resources: Held, caller: Caller) -> BudgetReply:
    """Set both bounds; calls that begin from now on are held to them."""
    row = await AiBudgets(resources.database).change(caller.tenant, budget_id, tokens=body.tokens, cost=body.cost)
    return await _reply(resources, caller, row)


@router.delete("/{budget_id}", status_code=204)
@requires(Permission.BUDGET_WRITE)
async def delete_budget(budget_id: UUID, resources: Held, caller: Caller) -> None:
    """Remove a budget: nothing is bounded by it any more."""
    await AiBudgets(resources.database).delete(caller.tenant, budget_id)


async def _reply(resources: Resources, caller: Identity, row: AiBudget) -> BudgetReply:
    used = await AiUsage(resources.database).of_budget(caller.tenant, row)
    return BudgetReply(
        id=row.id,
        scope=row.scope,
        workflow_id=UUID(row.key) if row.scope == "workflow" else None,
        period=row.period,
        tokens=row.tokens,
        cost=row.cost,
        used_tokens=used.tokens,
        used_cost=used.cost,
        reserved_tokens=used.reserved_tokens,
        reserved_cost=used.reserved_cost,
        frees_at=period_end(row.period, datetime.now(UTC)),
        created_at=row.created_at,
        updated_at=row.updated_at,
    )
