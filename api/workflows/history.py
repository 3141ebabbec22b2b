"""Versions of a workflow: listed, compared, published, gone back to, and forgotten."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from api.audit import audit
from api.auth import Identity
from api.called_workflows import need_called_workflows, note_called
from api.credential_access import need_credentials_of_version
from api.cursors import write_cursor
from api.documents import check_document
from api.resources import Resources
from api.schemas import Page
from api.workflows import service
from api.workflows.schemas import DiffReply, RollbackRequest, VersionDetail, VersionReply
from engine.dag.diff import diff_specs
from engine.dag.document import parse_spec
from engine.errors import Conflict
from models.repositories.workflows import Saved, Versions, Workflows
from models.tables import Workflow, WorkflowVersion
from models.tenancy import TenantId


async def list_versions(
    resources: Resources, tenant: TenantId, workflow_id: UUID, before: int | None, limit: int
) -> Page[VersionReply]:
    """Newest first. Raises: NotFound."""
    workflow = await Workflows(resources.database).get(tenant, workflow_id)
    rows, place = await Versions(resources.database).page(tenant, workflow_id, before=before, limit=limit)
    items = [VersionReply(**_members(row, workflow)) for row in rows]
    return Page[VersionReply](items=items, next=write_cursor(place))


async def get_version(
    resources: Resources, tenant: TenantId, workflow_id: UUID, number: int
) -> tuple[WorkflowVersion, bool]:
    """A version, and whether it is the published one. Raises: NotFound."""
    workflow = await Workflows(resources.database).get(tenant, workflow_id)
    version = await Versions(resources.database).get_number(tenant, workflow_id, number)
    return version, workflow.published_version == number


def detail_of(version: WorkflowVersion, published: bool) -> VersionDetail:
    """A version with its document."""
    return VersionDetail(**_reply_members(version, published), document=version.spec)


def _members(version: WorkflowVersion, workflow: Workflow) -> dict[str, Any]:
    return _reply_members(version, workflow.published_version == version.number)


def _reply_members(version: WorkflowVersion, published: bool) -> dict[str, Any]:
    kept = version.model_dump(include={"id", "number", "author", "note", "valid", "digest", "created_at"})
    return {**kept, "published": published}


async def diff_versions(
    resources: Resources, tenant: TenantId, workflow_id: UUID, before: int, after: int
) -> DiffReply:
    """What differs between two versions. Raises: NotFound."""
    versions = Versions(resources.database)
    old, new = [await versions.get_number(tenant, workflow_id, number) for number in (before, after)]
    diff = diff_specs(parse_spec(old.spec), parse_spec(new.spec))
    return DiffReply(
        before=before,
        after=after,
        same=diff.is_empty,
        graph=diff.graph,
        handlers=diff.handlers,
        sections=diff.sections,
    )


async def publish_version(resources: Resources, caller: Identity, workflow_id: UUID, number: int) -> Workflow:
    """Make it the version that triggers and starts run. Raises: NotFound; ValidationFailed; Conflict."""
    version = await Versions(resources.database).get_number(caller.tenant, workflow_id, number)
    await need_credentials_of_version(resources, caller, version.id)
    called = await need_called_workflows(resources, caller, version.spec)
    await check_document(resources, version.spec)
    if not version.valid:  # it was saved before, say, a plugin made it valid; a version never changes
        raise Conflict(f"version {number} was saved with errors: save it again", code="VERSION_INVALID")
    workflow = await Workflows(resources.database).publish(caller.tenant, workflow_id, number)
    await note_called(resources, caller, version, called)
    await audit(resources, caller, "workflow.publish", "workflow", workflow_id, version=number)
    return workflow


async def unpublish(resources: Resources, caller: Identity, workflow_id: UUID) -> Workflow:
    """Make it a draft again: nothing starts but tries of a named version. Raises: NotFound."""
    workflow = await Workflows(resources.database).publish(caller.tenant, workflow_id, None)
    await audit(resources, caller, "workflow.unpublish", "workflow", workflow_id)
    return workflow


async def roll_back(
    resources: Resources, caller: Identity, workflow_id: UUID, wanted: RollbackRequest, expected: int | None
) -> Saved:
    """Save the document of an old version as the next one. Raises: NotFound; ValidationFailed; Conflict."""
    old = await Versions(resources.database).get_number(caller.tenant, workflow_id, wanted.version)
    checked = await check_document(resources, old.spec, draft=not wanted.publish)
    note = wanted.note or f"Back to version {old.number}"
    return await service.save_version(
        resources, caller, workflow_id, checked, note, expected_latest=expected, publish=wanted.publish
    )


async def prune_versions(resources: Resources, caller: Identity, workflow_id: UUID, keep: int) -> int:
    """Delete versions behind the last `keep`; the published one and those that were executed stay. Raises: NotFound."""
    await Workflows(resources.database).get(caller.tenant, workflow_id)
    removed = await Versions(resources.database).drop_old(caller.tenant, workflow_id, keep)
    await audit(resources, caller, "workflow.prune", "workflow", workflow_id, keep=keep, removed=removed)
    return removed
