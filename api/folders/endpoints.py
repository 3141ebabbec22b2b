"""Routes of folders."""

from __future__ import annotations

from uuid import UUID

from fastapi import APIRouter, Response

from api.access import Caller
from api.folders import service
from api.folders.schemas import FolderChange, FolderReply, FolderRequest
from api.permissions import Permission, requires
from api.resources import Held

router = APIRouter(prefix="/folders", tags=["folders"])


@router.get("")
@requires(Permission.WORKFLOW_READ)
async def list_folders(resources: Held, caller: Caller) -> list[FolderReply]:
    """The whole tree, parents before children."""
    return await service.list_folders(resources, caller.tenant)


@router.post("", status_code=201)
@requires(Permission.WORKFLOW_WRITE)
async def create_folder(body: FolderRequest, response: Response, resources: Held, caller: Caller) -> FolderReply:
    """Make a folder; its name is unique within its parent."""
    made = await service.create_folder(resources, caller, body)
    response.headers["Location"] = f"/api/v1/folders/{made.id}"
    return made


@router.get("/{folder_id}")
@requires(Permission.WORKFLOW_READ)
async def get_folder(folder_id: UUID, resources: Held, caller: Caller) -> FolderReply:
    """One folder."""
    return await service.get_folder(resources, caller.tenant, folder_id)


@router.patch("/{folder_id}")
@requires(Permission.WORKFLOW_WRITE)
async def change_folder(folder_id: UUID, body: FolderChange, resources: Held, caller: Caller) -> FolderReply:
    """Rename a folder, or move it with all that is in it."""
    return await service.change_folder(resources, caller, folder_id, body)


@router.delete("/{folder_id}", status_code=204)
@requires(Permission.WORKFLOW_WRITE)
async def delete_folder(folder_id: UUID, resources: Held, caller: Caller) -> None:
    """Delete an empty folder."""
    await service.delete_folder(resources, caller, folder_id)
