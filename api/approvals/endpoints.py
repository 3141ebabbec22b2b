"""Routes of approvals: what waits for people, and their words."""

from __future__ import annotations

from typing import Annotated, get_args
from uuid import UUID

from fastapi import APIRouter, Query

from api.access import Caller
from api.approvals import service
from api.approvals.schemas import ApprovalReply, DecisionRequest, NodeDecisionRequest, WaitingCount
from api.cursors import Cursor, Limit, read_id, write_cursor
from api.permissions import Permission, requires
from api.resources import Held
from api.schemas import Page
from api.statuses import ApprovalStatus
from engine.errors import Issue, ValidationFailed
from models.repositories.records import Page as Rows
from models.tables import Approval

router = APIRouter(tags=["approvals"])

STATUSES: tuple[str, ...] = get_args(ApprovalStatus)


@router.get("/approvals")
@requires(Permission.EXECUTION_READ, open_to_links=True)
async def list_approvals(
    resources: Held,
    caller: Caller,
    status: Annotated[str | None, Query(max_length=200, description="One or several, with commas")] = None,
    execution_id: UUID | None = None,
    mine: Annotated[bool, Query(description="Only open ones that wait for the caller's own word")] = False,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> Page[ApprovalReply]:
    """Approvals that the caller may see or is asked for, newest first, without the forms that people filled in.

    With `mine`: what waits for the caller, who is asked by name or by role, has not spoken, and did not start it
    itself unless that is allowed. It goes without `status` and `execution_id`.
    """
    if mine:
        if status is not None or execution_id is not None:
            issue = Issue("INVALID_VALUE", "query.mine", "goes without status and execution_id", "leave them out")
            raise ValidationFailed([issue], "the request is not valid")
        waiting = await service.list_waiting(resources, caller, before=read_id(cursor), limit=limit)
        return _page(waiting)
    page = await service.list_approvals(
        resources,
        caller,
        statuses=_statuses(status),
        execution_id=execution_id,
        before=read_id(cursor),
        limit=limit,
    )
    return _page(page)


def _page(page: Rows[Approval]) -> Page[ApprovalReply]:
    return Page[ApprovalReply](items=[service.reply_of(row) for row in page.items], next=write_cursor(page.next))


@router.get("/approvals/count")
@requires(Permission.EXECUTION_READ)
async def count_approvals(resources: Held, caller: Caller) -> WaitingCount:
    """How many approvals wait for the caller."""
    return WaitingCount(count=await service.count_waiting(resources, caller))


@router.get("/approvals/{approval_id}")
@requires(Permission.EXECUTION_READ)
async def get_approval(approval_id: UUID, resources: Held, caller: Caller) -> ApprovalReply:
    """An approval with all that was said."""
    return await service.detail_of(resources, caller.tenant, await service.get(resources, caller.tenant, approval_id))


@router.post("/approvals/{approval_id}")
@requires(Permission.WORKFLOW_RUN, closed_to_links=True)
async def decide_approval(approval_id: UUID, body: DecisionRequest, resources: Held, caller: Caller) -> ApprovalReply:
    """Approve or reject. 403 if the caller may not decide, 409 if it is decided, 422 if the form does not fit."""
    row = await service.get(resources, caller.tenant, approval_id)
    return await service.detail_of(resources, caller.tenant, await service.decide(resources, caller, row, body))


@router.post("/executions/{execution_id}/nodes/{path}/approve")
@requires(Permission.WORKFLOW_RUN, closed_to_links=True)
async def approve_node(
    execution_id: UUID, path: str, body: NodeDecisionRequest, resources: Held, caller: Caller
) -> ApprovalReply:
    """The same for a node of a live execution. 409 if it waits for nobody."""
    row = await service.of_node(resources, caller.tenant, execution_id, path, body.iteration)
    return await service.detail_of(resources, caller.tenant, await service.decide(resources, caller, row, body))


def _statuses(text: str | None) -> list[str] | None:
    if text is None:
        return None
    wanted = [part.strip() for part in text.split(",")]
    if unknown := [part for part in wanted if part not in STATUSES]:
        issue = Issue("INVALID_VALUE", "query.status", f"no such status: {unknown[0][:40]!r}", ", ".join(STATUSES))
        raise ValidationFailed([issue], "the request is not valid")
    return wanted
