"""Routes of API keys."""

from __future__ import annotations

from uuid import UUID

from fastapi import APIRouter, Response

from api.access import Caller
from api.api_keys import service
from api.api_keys.schemas import KeyReply, KeyRequest, NewKeyReply, ScopeReply
from api.cursors import Cursor, Limit, read_id, write_cursor
from api.permissions import Permission, requires
from api.resources import Held
from api.schemas import Page

router = APIRouter(prefix="/api-keys", tags=["api-keys"])


@router.get("/scopes")
@requires(Permission.ME_READ)
async def list_scopes() -> Page[ScopeReply]:
    """What keys may be allowed, all on one page."""
    return Page[ScopeReply](items=service.scopes())


@router.get("")
@requires(Permission.API_KEY_READ)
async def list_api_keys(
    resources: Held, caller: Caller, user_id: UUID | None = None, cursor: Cursor = None, limit: Limit = 50
) -> Page[KeyReply]:
    """Your keys, newest first; for administrators those of all, or of one person."""
    page = await service.page(resources, caller, user_id=user_id, before=read_id(cursor), limit=limit)
    return Page[KeyReply](items=[service.reply_of(row) for row in page.items], next=write_cursor(page.next))


@router.post("", status_code=201)
@requires(Permission.API_KEY_WRITE)
async def create_api_key(body: KeyRequest, response: Response, resources: Held, caller: Caller) -> NewKeyReply:
    """Make a key; its secret is shown in this answer alone. 403 if it could do more than you."""
    reply = await service.create(resources, caller, body)
    response.headers["Location"] = f"/api/v1/api-keys/{reply.id}"
    response.headers["Cache-Control"] = "no-store"
    return reply


@router.get("/{key_id}")
@requires(Permission.API_KEY_READ)
async def get_api_key(key_id: UUID, resources: Held, caller: Caller) -> KeyReply:
    """One key, without its secret."""
    return service.reply_of(await service.get(resources, caller, key_id))


@router.post("/{key_id}/rotate")
@requires(Permission.API_KEY_WRITE)
async def rotate_api_key(key_id: UUID, response: Response, resources: Held, caller: Caller) -> NewKeyReply:
    """Give a key a new secret; the old one is refused within seconds."""
    response.headers["Cache-Control"] = "no-store"
    return await service.rotate(resources, caller, key_id)


@router.delete("/{key_id}", status_code=204)
@requires(Permission.API_KEY_WRITE)
async def revoke_api_key(key_id: UUID, resources: Held, caller: Caller) -> None:
    """Remove a key; it is refused within seconds."""
    await service.revoke(resources, caller, key_id)
