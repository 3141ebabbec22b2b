"""What the workflow routes do."""

from __future__ import annotations

from uuid import UUID

from api.documents import CheckedDocument, check_document
from api.resources import Resources
from api.schemas import IssueReply
from api.workflows.schemas import Validation, WorkflowDetail, WorkflowReply
from engine.errors import Conflict, NotFound, ValidationFailed
from models.jsonb import plain_text
from models.repositories.records import Page
from models.repositories.workflows import Saved, Versions, Workflows
from models.tables import Workflow, WorkflowVersion
from models.tenancy import TenantId

ARCHIVED = "archived"


async def validate_document(resources: Resources, document: dict[str, object] | str) -> Validation:
    """Every issue of a document; nothing is stored, nothing runs."""
    try:
        checked = await check_document(resources, document)
    except ValidationFailed as failure:
        return refused(failure)
    return Validation(valid=True, issues=[IssueReply(**issue.as_dict()) for issue in checked.warnings])


def refused(failure: ValidationFailed) -> Validation:
    """The reply for a document that has errors."""
    return Validation(valid=False, issues=[IssueReply(**issue.as_dict()) for issue in failure.issues])


async def create_workflow(resources: Resources, tenant: TenantId, checked: CheckedDocument, note: str) -> Saved:
    """Save version 1 and publish it. Raises: Conflict (NAME_TAKEN)."""
    workflows = Workflows(resources.database)
    saved = await workflows.create(tenant, checked.raw, note=note)
    return Saved(await workflows.publish(tenant, saved.workflow.id, 1), saved.version)


async def save_version(
    resources: Resources,
    tenant: TenantId,
    workflow_id: UUID,
    checked: CheckedDocument,
    note: str,
    *,
    expected_latest: int | None = None,
) -> Saved:
    """Save the next version and publish it. Raises: NotFound; Conflict (VERSION_CONFLICT, NAME_TAKEN)."""
    workflows = Workflows(resources.database)
    saved = await workflows.save(tenant, workflow_id, checked.raw, expected_latest=expected_latest, note=note)
    if saved.workflow.published_version == saved.version.number:
        return saved
    published = await workflows.publish(tenant, workflow_id, saved.version.number)
    return Saved(published, saved.version, saved.is_new)


async def apply_workflow(resources: Resources, tenant: TenantId, checked: CheckedDocument, note: str) -> Saved:
    """Create the workflow of this name, or save and publish its next version; one that was archived is active again."""
    workflows = Workflows(resources.database)
    for _ in range(3):  # another caller may create it between the two steps
        existing = await _named(workflows, tenant, checked.spec.name)
        if existing is not None:
            if existing.status == ARCHIVED:
                await workflows.set_status(tenant, existing.id, "active")
            return await save_version(resources, tenant, existing.id, checked, note)
        try:
            return await create_workflow(resources, tenant, checked, note)
        except Conflict as conflict:
            if conflict.code != "NAME_TAKEN":
                raise
    raise Conflict(f"the workflow {checked.spec.name!r} is created and renamed by others meanwhile: try again")


async def save_for_start(resources: Resources, tenant: TenantId, checked: CheckedDocument) -> WorkflowVersion:
    """The version to start a document as: saved under its name, but published only if the workflow is new.

    What schedules and other public triggers run is not changed by somebody's try.
    """
    workflows = Workflows(resources.database)
    existing = await _named(workflows, tenant, checked.spec.name)
    if existing is not None:
        return (await workflows.save(tenant, existing.id, checked.raw)).version
    return (await apply_workflow(resources, tenant, checked, "")).version


async def get_workflow(resources: Resources, tenant: TenantId, workflow_id: UUID) -> Saved:
    """The workflow with its latest version. Raises: NotFound."""
    workflow = await Workflows(resources.database).get(tenant, workflow_id)
    version = await Versions(resources.database).get_number(tenant, workflow_id, workflow.latest_version)
    return Saved(workflow, version, is_new=False)


async def list_workflows(
    resources: Resources, tenant: TenantId, *, search: str | None, status: str, before: UUID | None, limit: int
) -> Page[Workflow]:
    """Newest first; status `any` lists all."""
    wanted = None if status == "any" else status
    return await Workflows(resources.database).list(
        tenant, search=plain_text(search), status=wanted, before=before, limit=limit
    )


async def archive_workflow(resources: Resources, tenant: TenantId, workflow_id: UUID) -> None:
    """Its versions and executions stay; nothing starts from it any more. Raises: NotFound."""
    await Workflows(resources.database).set_status(tenant, workflow_id, ARCHIVED)


def detail_of(saved: Saved, checked: CheckedDocument | None = None) -> WorkflowDetail:
    """A workflow with its document."""
    workflow = WorkflowReply.model_validate(saved.workflow, from_attributes=True)
    warnings = [] if checked is None else [IssueReply(**issue.as_dict()) for issue in checked.warnings]
    version = saved.version
    return WorkflowDetail(
        **workflow.model_dump(),
        version_id=version.id,
        version=version.number,
        document=version.spec,
        warnings=warnings,
    )


async def _named(workflows: Workflows, tenant: TenantId, name: str) -> Workflow | None:
    try:
        return await workflows.get_by_name(tenant, name)
    except NotFound:
        return None
