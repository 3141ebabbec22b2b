"""Routes of the codec server: `/api/v1/codec` is the address that Temporal's Web UI and command line are given."""

from __future__ import annotations

from fastapi import APIRouter, Response

from api.access import Caller
from api.codec_server import service
from api.codec_server.schemas import PayloadsReply, PayloadsRequest
from api.permissions import Permission, requires
from api.resources import Held

router = APIRouter(prefix="/codec", tags=["codec server"])


@router.post("/decode")
@requires(Permission.CODEC_USE)
async def decode_payloads(body: PayloadsRequest, response: Response, resources: Held, caller: Caller) -> PayloadsReply:
    """Open the sealed payloads of the caller's tenant. 403 if one belongs to another."""
    response.headers["Cache-Control"] = "no-store"
    return service.decode(resources, caller, body.payloads)


@router.post("/encode")
@requires(Permission.CODEC_USE)
async def encode_payloads(body: PayloadsRequest, response: Response, resources: Held, caller: Caller) -> PayloadsReply:
    """Seal payloads for the caller's tenant, such as the arguments of a signal that is sent by hand."""
    response.headers["Cache-Control"] = "no-store"
    return service.encode(resources, caller, body.payloads)
