"""The route that tells a caller who it is."""

from __future__ import annotations

from fastapi import APIRouter

from api.access import Caller
from api.me.schemas import MeReply
from api.permissions import Permission, requires

router = APIRouter(prefix="/me", tags=["me"])


@router.get("")
@requires(Permission.ME_READ)
async def get_me(caller: Caller) -> MeReply:
    """The caller's tenant and API key."""
    return MeReply(
        tenant_id=caller.tenant.uuid, key_id=caller.key_id, key_name=caller.key_name, scopes=list(caller.scopes)
    )
