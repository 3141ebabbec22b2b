"""Routes of AI models."""

from __future__ import annotations

from uuid import UUID

from fastapi import APIRouter, Response

from api.access import Caller
from api.ai_models.schemas import AiModelReply
from api.credential_access import need_credential
from api.cursors import Cursor, Limit, read_id, write_cursor
from api.permissions import Permission, requires
from api.resources import Held
from api.schemas import Page
from engine.activities.generation.fields import AiModelFields
from models.repositories.ai_models import AiModels
from models.tables import AiModel

router = APIRouter(prefix="/ai-models", tags=["ai-models"])


@router.post("", status_code=201)
@requires(Permission.AI_MODEL_WRITE)
async def create_ai_model(body: AiModelFields, response: Response, resources: Held, caller: Caller) -> AiModelReply:
    """Add a model. 409 if the name is taken."""
    await need_credential(resources, caller, [body.credential] if body.credential else [])
    row = await AiModels(resources.database).create(caller.tenant, body.as_fields())
    response.headers["Location"] = f"/api/v1/ai-models/{row.id}"
    return _reply(row)


@router.get("")
@requires(Permission.AI_MODEL_READ)
async def list_ai_models(
    resources: Held, caller: Caller, cursor: Cursor = None, limit: Limit = 50
) -> Page[AiModelReply]:
    """The tenant's models, newest first. Those of the operator's file are not among them."""
    page = await AiModels(resources.database).list(caller.tenant, before=read_id(cursor), limit=limit)
    return Page[AiModelReply](items=[_reply(row) for row in page.items], next=write_cursor(page.next))


@router.get("/{model_id}")
@requires(Permission.AI_MODEL_READ)
async def get_ai_model(model_id: UUID, resources: Held, caller: Caller) -> AiModelReply:
    """One model."""
    return _reply(await AiModels(resources.database).get(caller.tenant, model_id))


@router.put("/{model_id}")
@requires(Permission.AI_MODEL_WRITE)
async def replace_ai_model(model_id: UUID, body: AiModelFields, resources: Held, caller: Caller) -> AiModelReply:
    """Put other fields in place of all there were; calls that begin from now on use them. 409 if the name is taken."""
    await need_credential(resources, caller, [body.credential] if body.credential else [])
    return _reply(await AiModels(resources.database).replace(caller.tenant, model_id, body.as_fields()))


@router.delete("/{model_id}", status_code=204)
@requires(Permission.AI_MODEL_WRITE)
async def delete_ai_model(model_id: UUID, resources: Held, caller: Caller) -> None:
    """Remove a model; what it was used for stays on record."""
    await AiModels(resources.database).delete(caller.tenant, model_id)


def _reply(row: AiModel) -> AiModelReply:
    return AiModelReply.model_validate(row, from_attributes=True)
