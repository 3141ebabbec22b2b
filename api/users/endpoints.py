"""Routes of a tenant's members."""

from __future__ import annotations

from uuid import UUID

from fastapi import APIRouter, Response

from api.access import Caller
from api.cursors import Cursor, Limit, read_id, write_cursor
from api.permissions import Permission, requires
from api.resources import Held
from api.schemas import Page
from api.users import service
from api.users.schemas import InvitationReply, InviteRequest, MemberChange, MemberReply

router = APIRouter(prefix="/users", tags=["users"])


@router.get("")
@requires(Permission.USER_READ)
async def list_users(resources: Held, caller: Caller, cursor: Cursor = None, limit: Limit = 50) -> Page[MemberReply]:
    """Members of the tenant and people who are invited, newest accounts first."""
    page = await service.list_members(resources, caller.tenant, before=read_id(cursor), limit=limit)
    return Page[MemberReply](items=[service.reply_of(one) for one in page.items], next=write_cursor(page.next))


@router.post("", status_code=201)
@requires(Permission.USER_WRITE)
async def invite_user(body: InviteRequest, response: Response, resources: Held, caller: Caller) -> InvitationReply:
    """Invite a person; the token in the answer is shown once and accepts it. 409 for who is a member already."""
    reply = await service.invite(resources, caller, body)
    response.headers["Location"] = f"/api/v1/users/{reply.id}"
    response.headers["Cache-Control"] = "no-store"
    return reply


@router.get("/{user_id}")
@requires(Permission.USER_READ)
async def get_user(user_id: UUID, resources: Held, caller: Caller) -> MemberReply:
    """One member."""
    return await service.get_member(resources, caller.tenant, user_id)


@router.patch("/{user_id}")
@requires(Permission.USER_WRITE)
async def change_user(user_id: UUID, body: MemberChange, resources: Held, caller: Caller) -> MemberReply:
    """Change a member's role, or disable the account (installation administrators). 409 for the last administrator."""
    return await service.change(resources, caller, user_id, body)


@router.delete("/{user_id}", status_code=204)
@requires(Permission.USER_WRITE)
async def remove_user(user_id: UUID, resources: Held, caller: Caller) -> None:
    """End a membership; keys and logins of the person in this tenant go with it. 409 for the last administrator."""
    await service.remove(resources, caller, user_id)
