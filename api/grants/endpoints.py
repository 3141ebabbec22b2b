"""Routes of grants: who has which role on a workflow."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Path

from api.access import Caller
from api.grants import service
from api.grants.schemas import GrantReply, GrantRequest, GrantsReply, TransferRequest
from api.permissions import Permission, requires
from api.resources import Held

router = APIRouter(prefix="/workflows/{workflow_id}/grants", tags=["grants"])

Member = Annotated[str, Path(max_length=64, description="Id of a person, or `all` for all members of the tenant")]


@router.get("")
@requires(Permission.GRANT_READ)
async def list_grants(workflow_id: UUID, resources: Held, caller: Caller) -> GrantsReply:
    """Who has which role on a workflow. Editors and owners may ask."""
    return await service.list_grants(resources, caller, workflow_id)


@router.put("/{member}")
@requires(Permission.GRANT_WRITE)
async def put_grant(
    workflow_id: UUID, member: Member, body: GrantRequest, resources: Held, caller: Caller
) -> GrantReply:
    """Give a role, in place of the one before. Owners may; 409 if it were the last owner's."""
    return await service.put_grant(resources, caller, workflow_id, member, body.role)


@router.delete("/{member}", status_code=204)
@requires(Permission.GRANT_WRITE)
async def delete_grant(workflow_id: UUID, member: Member, resources: Held, caller: Caller) -> None:
    """Take a role back. Owners may; 409 if it were the last owner's."""
    await service.remove_grant(resources, caller, workflow_id, member)


@router.post("/transfer")
@requires(Permission.GRANT_WRITE)
async def transfer_workflow(workflow_id: UUID, body: TransferRequest, resources: Held, caller: Caller) -> GrantsReply:
    """Make a person the workflow's one owner; those who were stay as editors."""
    return await service.transfer(resources, caller, workflow_id, body.user_id)
