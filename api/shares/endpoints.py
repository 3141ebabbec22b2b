"""Routes of sharing links: they let anybody who has one see a workflow, or run it."""

from __future__ import annotations

from uuid import UUID

from fastapi import APIRouter, Response

from api.access import Caller
from api.cursors import Cursor, Limit, read_id, write_cursor
from api.permissions import Permission, requires
from api.resources import Held
from api.schemas import Page
from api.shares import service
from api.shares.schemas import NewShareReply, ShareReply, ShareRequest
from models.repositories.shares import Shares
from models.repositories.workflows import Workflows

router = APIRouter(prefix="/workflows/{workflow_id}/shares", tags=["shares"])


@router.post("", status_code=201)
@requires(Permission.SHARE_WRITE)
async def create_share(
    workflow_id: UUID, body: ShareRequest, response: Response, resources: Held, caller: Caller
) -> NewShareReply:
    """Make a link. Its token is in this answer alone. Owners may."""
    made = await service.create_share(resources, caller, workflow_id, body)
    response.headers["Location"] = f"/api/v1/workflows/{workflow_id}/shares/{made.id}"
    response.headers["Cache-Control"] = "no-store"
    return made


@router.get("")
@requires(Permission.SHARE_READ)
async def list_shares(
    workflow_id: UUID, resources: Held, caller: Caller, cursor: Cursor = None, limit: Limit = 50
) -> Page[ShareReply]:
    """The links of a workflow, newest first, those that let nobody in any more among them. Owners may."""
    await Workflows(resources.database).get(caller.tenant, workflow_id)
    page = await Shares(resources.database).list(caller.tenant, workflow_id, before=read_id(cursor), limit=limit)
    return Page[ShareReply](items=[service.reply_of(one) for one in page.items], next=write_cursor(page.next))


@router.delete("/{share_id}", status_code=204)
@requires(Permission.SHARE_WRITE)
async def revoke_share(workflow_id: UUID, share_id: UUID, resources: Held, caller: Caller) -> None:
    """Let nobody in by a link any more, from the next request on. Owners may."""
    await service.revoke_share(resources, caller, workflow_id, share_id)
