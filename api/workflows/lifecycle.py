"""What becomes of a workflow: renamed, moved, tagged, paused, archived, restored, copied, deleted."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from api.audit import audit
from api.auth import Identity
from api.documents import check_document
from api.resources import Resources
from api.workflows import service
from api.workflows.etags import check_unchanged
from api.workflows.listing import normal_tags
from api.workflows.schemas import DuplicateRequest, WorkflowChange
from engine.activities.startable import ARCHIVED, PAUSED
from engine.errors import Conflict
from models.repositories.workflows import Saved, Versions, Workflows
from models.tables import Workflow

MAX_NAME = 200
_COPIES_TRIED = 20


async def change_workflow(
    resources: Resources, caller: Identity, workflow_id: UUID, change: WorkflowChange, if_match: str | None
) -> Saved:
    """Change what is named. Raises: NotFound; Conflict (VERSION_CONFLICT, NAME_TAKEN); ValidationFailed."""
    workflows = Workflows(resources.database)
    tags = None if change.tags is None else normal_tags(change.tags)
    saved = await service.get_workflow(resources, caller.tenant, workflow_id)
    check_unchanged(saved.workflow, if_match)
    given = change.model_dump(include={"name", "description"}, exclude_none=True)
    if changed := {key: text for key, text in given.items() if saved.version.spec.get(key) != text}:
        saved = await _save_changed(resources, caller, saved, changed, change.note)
    if "folder_id" in change.model_fields_set:
        saved = Saved(await workflows.move(caller.tenant, workflow_id, change.folder_id), saved.version)
        await audit(resources, caller, "workflow.move", "workflow", workflow_id, folder=change.folder_id)
    if tags is not None:
        saved = Saved(await workflows.set_tags(caller.tenant, workflow_id, tags), saved.version)
        await audit(resources, caller, "workflow.tag", "workflow", workflow_id, tags=list(tags))
    return saved


async def _save_changed(
    resources: Resources, caller: Identity, saved: Saved, changed: dict[str, Any], note: str
) -> Saved:
    """A name stands in the document, so a new one is a new version; it is published if the one before was."""
    checked = await check_document(resources, {**saved.version.spec, **changed}, draft=True)
    number = saved.version.number
    publish = saved.workflow.published_version == number and checked.is_valid
    return await service.save_version(
        resources, caller, saved.workflow.id, checked, note, expected_latest=number, publish=publish
    )


async def pause_workflow(resources: Resources, caller: Identity, workflow_id: UUID) -> Workflow:
    """Nothing starts from it until it is resumed; what runs goes on. Raises: NotFound; Conflict (NOT_ACTIVE)."""
    return await _turn(resources, caller, workflow_id, "pause", {"active", PAUSED}, PAUSED)


async def resume_workflow(resources: Resources, caller: Identity, workflow_id: UUID) -> Workflow:
    """Raises: NotFound; Conflict (NOT_ACTIVE)."""
    return await _turn(resources, caller, workflow_id, "resume", {"active", PAUSED}, "active")


async def archive_workflow(resources: Resources, caller: Identity, workflow_id: UUID) -> Workflow:
    """Put it away: lists hide it, nothing starts from it; versions and executions stay. Raises: NotFound."""
    return await _turn(resources, caller, workflow_id, "archive", None, ARCHIVED)


async def restore_workflow(resources: Resources, caller: Identity, workflow_id: UUID) -> Workflow:
    """Take it out of the archive: active if a version is published, else a draft. Raises: NotFound; Conflict."""
    workflow = await Workflows(resources.database).get(caller.tenant, workflow_id)
    status = "draft" if workflow.published_version is None else "active"
    return await _turn(resources, caller, workflow_id, "restore", {ARCHIVED}, status)


async def _turn(
    resources: Resources, caller: Identity, workflow_id: UUID, verb: str, allowed: set[str] | None, status: str
) -> Workflow:
    workflows = Workflows(resources.database)
    turned = await workflows.set_status(caller.tenant, workflow_id, status, allowed=allowed)
    if turned is None:
        now = (await workflows.get(caller.tenant, workflow_id)).status
        code = "NOT_ARCHIVED" if verb == "restore" else "NOT_ACTIVE"
        raise Conflict(f"cannot {verb} a workflow that is {now}", code=code, details={"status": now})
    await audit(resources, caller, f"workflow.{verb}", "workflow", workflow_id)
    return turned


async def delete_workflow(resources: Resources, caller: Identity, workflow_id: UUID) -> None:
    """Delete an archived workflow. Raises: NotFound; Conflict (NOT_ARCHIVED, EXECUTION_RUNNING)."""
    await Workflows(resources.database).delete(caller.tenant, workflow_id)
    await audit(resources, caller, "workflow.delete", "workflow", workflow_id)


async def duplicate_workflow(
    resources: Resources, caller: Identity, workflow_id: UUID, wanted: DuplicateRequest
) -> Saved:
    """A draft of its own with the document of a version: its triggers do not fire before somebody publishes it.

    Raises: NotFound; Conflict (NAME_TAKEN).
    """
    original = await Workflows(resources.database).get(caller.tenant, workflow_id)
    number = wanted.version or original.latest_version
    version = await Versions(resources.database).get_number(caller.tenant, workflow_id, number)
    folder_id = wanted.folder_id if "folder_id" in wanted.model_fields_set else original.folder_id
    name = wanted.name or await free_name(resources, caller, f"{original.name[: MAX_NAME - 10]} copy")
    checked = await check_document(resources, {**version.spec, "name": name}, draft=True)
    return await service.create_workflow(
        resources,
        caller,
        checked,
        wanted.note or f"Copy of {original.name}, version {number}",
        publish=False,
        folder_id=folder_id,
        tags=tuple(original.tags),
    )


async def free_name(resources: Resources, caller: Identity, name: str) -> str:
    """The name, or with a number behind it if it is taken. Raises: Conflict (NAME_TAKEN) if many are."""
    for number in range(1, _COPIES_TRIED + 1):
        candidate = name if number == 1 else f"{name[: MAX_NAME - 4]} {number}"
        if await service.find_named(resources, caller.tenant, candidate) is None:
            return candidate
    raise Conflict(f"{name!r} and the names after it are taken: give one", code="NAME_TAKEN", details={"name": name})
