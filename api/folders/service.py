"""What the folder routes do."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from pydantic import TypeAdapter, ValidationError

from api.arranging import need_arranger, need_editor_within
from api.audit import audit
from api.auth import Identity
from api.folders.schemas import FolderChange, FolderReply, FolderRequest, Name
from api.resources import Resources
from engine.errors import Conflict, Issue, ValidationFailed
from models.repositories.folders import Folders
from models.tables import Folder
from models.tenancy import TenantId

_NAME: TypeAdapter[str] = TypeAdapter(Name)
_NO_NAMES = (".", "..")


async def list_folders(resources: Resources, tenant: TenantId) -> list[FolderReply]:
    """The whole tree, parents before children, by name."""
    folders = await Folders(resources.database).all(tenant)
    by_id = {folder.id: folder for folder in folders}
    replies = [_reply(folder, by_id) for folder in folders]
    return sorted(replies, key=lambda reply: reply.path)


async def get_folder(resources: Resources, tenant: TenantId, folder_id: UUID) -> FolderReply:
    """Raises: NotFound."""
    return await _shown(resources, tenant, await Folders(resources.database).get(tenant, folder_id))


async def create_folder(resources: Resources, caller: Identity, wanted: FolderRequest) -> FolderReply:
    """Raises: NotFound; AccessDenied; Conflict (NAME_TAKEN, FOLDER_TOO_DEEP); ValidationFailed."""
    await need_arranger(resources, caller)
    name = checked_name(wanted.name)
    folder = await Folders(resources.database).create(caller.tenant, name, wanted.parent_id)
    await audit(resources, caller, "folder.create", "folder", folder.id, name=name)
    return await _shown(resources, caller.tenant, folder)


async def change_folder(resources: Resources, caller: Identity, folder_id: UUID, change: FolderChange) -> FolderReply:
    """Rename and move. Raises: NotFound; Conflict (NAME_TAKEN, FOLDER_TOO_DEEP, FOLDER_CYCLE); ValidationFailed."""
    folders = Folders(resources.database)
    before = await folders.get(caller.tenant, folder_id)
    await need_editor_within(resources, caller, folder_id)
    name = before.name if change.name is None else checked_name(change.name)
    parent_id = change.parent_id if "parent_id" in change.model_fields_set else before.parent_id
    folder = await folders.change(caller.tenant, folder_id, name, parent_id)
    await audit(resources, caller, "folder.change", "folder", folder_id, name=name, parent=parent_id)
    return await _shown(resources, caller.tenant, folder)


async def delete_folder(resources: Resources, caller: Identity, folder_id: UUID) -> None:
    """Raises: NotFound; AccessDenied; Conflict (FOLDER_NOT_EMPTY)."""
    await need_arranger(resources, caller)
    await Folders(resources.database).delete(caller.tenant, folder_id)
    await audit(resources, caller, "folder.delete", "folder", folder_id)


async def ensure_path(resources: Resources, caller: Identity, top: UUID | None, names: Sequence[str]) -> UUID | None:
    """The folder at the end of a path below `top`; what is missing of it is made. Raises: as `create_folder`."""
    folders, here = Folders(resources.database), top
    for name in map(checked_name, names):
        known = await folders.all(caller.tenant)
        found = next((folder for folder in known if folder.parent_id == here and folder.name == name), None)
        here = found.id if found else (await _made(folders, caller, name, here)).id
    return here


async def _made(folders: Folders, caller: Identity, name: str, parent_id: UUID | None) -> Folder:
    try:
        return await folders.create(caller.tenant, name, parent_id)
    except Conflict as conflict:
        known = await folders.all(caller.tenant)  # somebody else may have made it just now
        found = next((folder for folder in known if folder.parent_id == parent_id and folder.name == name), None)
        if conflict.code != "NAME_TAKEN" or found is None:
            raise
        return found


def checked_name(name: str) -> str:
    """A name that is no path and can be part of one. Raises: ValidationFailed."""
    try:
        checked = _NAME.validate_python(name)
    except ValidationError:
        checked = ""
    if checked in ("", *_NO_NAMES):
        hint = "up to 100 characters without slashes"
        raise ValidationFailed([Issue("INVALID_VALUE", "name", "this is no name of a folder", hint)])
    return checked


async def _shown(resources: Resources, tenant: TenantId, folder: Folder) -> FolderReply:
    by_id = {known.id: known for known in await Folders(resources.database).all(tenant)}
    return _reply(folder, by_id | {folder.id: folder})


def _reply(folder: Folder, by_id: dict[UUID, Folder]) -> FolderReply:
    path, above = [folder.name], folder.parent_id
    while above is not None and above in by_id:
        path.insert(0, by_id[above].name)
        above = by_id[above].parent_id
    kept = folder.model_dump(include={"id", "name", "parent_id", "created_at", "updated_at"})
    return FolderReply(**kept, path=path)
