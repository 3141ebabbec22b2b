"""What the workflow routes do: documents checked, saved and read."""

from __future__ import annotations

from uuid import UUID

from api.audit import audit
from api.auth import Identity
from api.called_workflows import note_called
from api.documents import CheckedDocument, check_document
from api.people import person_of
from api.resources import Resources
from api.schemas import IssueReply
from api.vouching import vouch_for_document
from api.workflow_access import need_role, owner_of
from api.workflows.schemas import Validation, WorkflowDetail, WorkflowReply
from engine.activities.startable import ARCHIVED, check_startable
from engine.errors import Conflict, NotFound, ValidationFailed
from models.repositories.workflows import Saved, Versions, Workflows
from models.roles import Role
from models.tables import Workflow, WorkflowVersion
from models.tenancy import TenantId

PRUNE_EVERY = 20  # saves; old versions go in batches, not with each save


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


async def create_workflow(
    resources: Resources,
    caller: Identity,
    checked: CheckedDocument,
    note: str = "",
    *,
    publish: bool = True,
    folder_id: UUID | None = None,
    tags: tuple[str, ...] = (),
) -> Saved:
    """Save version 1, and publish it if that is asked for. Raises: Conflict (NAME_TAKEN); NotFound of the folder."""
    called = await vouch_for_document(resources, caller, checked.raw)
    saved = await Workflows(resources.database).create(
        caller.tenant,
        checked.raw,
        owner=owner_of(caller),
        author=person_of(caller).id,
        author_id=caller.user_id,
        note=note,
        valid=checked.is_valid,
        publish=publish,
        folder_id=folder_id,
        tags=tags,
    )
    await note_called(resources, caller, saved.version, called)
    await audit(resources, caller, "workflow.create", "workflow", saved.workflow.id, name=checked.spec.name)
    return saved


async def save_version(
    resources: Resources,
    caller: Identity,
    workflow_id: UUID,
    checked: CheckedDocument,
    note: str = "",
    *,
    expected_latest: int | None = None,
    publish: bool = True,
) -> Saved:
    """Save the next version, and publish it if that is asked for.

    Raises: NotFound; Conflict (VERSION_CONFLICT, NAME_TAKEN).
    """
    called = await vouch_for_document(resources, caller, checked.raw)
    saved = await Workflows(resources.database).save(
        caller.tenant,
        workflow_id,
        checked.raw,
        expected_latest=expected_latest,
        author=person_of(caller).id,
        author_id=caller.user_id,
        note=note,
        valid=checked.is_valid,
        publish=publish,
    )
    await note_called(resources, caller, saved.version, called)
    await audit(resources, caller, "workflow.save", "workflow", workflow_id, version=saved.version.number)
    await _prune_now_and_then(resources, caller.tenant, saved)
    return saved


async def _prune_now_and_then(resources: Resources, tenant: TenantId, saved: Saved) -> None:
    keep = resources.settings.workflows.keep_versions
    number = saved.version.number
    if saved.is_new and keep is not None and number > keep and number % PRUNE_EVERY == 0:
        await Versions(resources.database).drop_old(tenant, saved.workflow.id, keep)


async def apply_workflow(
    resources: Resources, caller: Identity, checked: CheckedDocument, note: str = "", *, publish: bool = True
) -> Saved:
    """Create the workflow of this name, or save its next version; one that was archived is active again."""
    workflows = Workflows(resources.database)
    for _ in range(3):  # another caller may create it between the two steps
        existing = await find_named(resources, caller.tenant, checked.spec.name)
        if existing is not None:
            await need_role(resources, caller, existing.id, Role.EDITOR)
            if existing.status == ARCHIVED:
                status = "draft" if existing.published_version is None else "active"
                await workflows.set_status(caller.tenant, existing.id, status)
            return await save_version(resources, caller, existing.id, checked, note, publish=publish)
        try:
            return await create_workflow(resources, caller, checked, note, publish=publish)
        except Conflict as conflict:
            if conflict.code != "NAME_TAKEN":
                raise
    raise Conflict(f"the workflow {checked.spec.name!r} is created and renamed by others meanwhile: try again")


async def save_for_start(resources: Resources, caller: Identity, checked: CheckedDocument) -> WorkflowVersion:
    """The version to start a document as: saved under its name, but published only if the workflow is new.

    What schedules and other public triggers run is not changed by somebody's try.
    Raises: Conflict (WORKFLOW_ARCHIVED, WORKFLOW_PAUSED); AccessDenied without the role of an editor.
    """
    existing = await find_named(resources, caller.tenant, checked.spec.name)
    if existing is not None:
        await need_role(resources, caller, existing.id, Role.EDITOR)
        check_startable(existing)
        return (await save_version(resources, caller, existing.id, checked, publish=False)).version
    return (await apply_workflow(resources, caller, checked)).version


async def get_workflow(resources: Resources, tenant: TenantId, workflow_id: UUID) -> Saved:
    """The workflow with its latest version. Raises: NotFound."""
    workflow = await Workflows(resources.database).get(tenant, workflow_id)
    version = await Versions(resources.database).get_number(tenant, workflow_id, workflow.latest_version)
    return Saved(workflow, version, is_new=False)


async def find_named(resources: Resources, tenant: TenantId, name: str) -> Workflow | None:
    """The workflow of this name, None if there is none."""
    try:
        return await Workflows(resources.database).get_by_name(tenant, name)
    except NotFound:
        return None


def reply_of(workflow: Workflow) -> WorkflowReply:
    """A workflow without its document."""
    return WorkflowReply.model_validate(workflow, from_attributes=True)


def detail_of(saved: Saved, checked: CheckedDocument | None = None) -> WorkflowDetail:
    """A workflow with its document."""
    warnings = [] if checked is None else [IssueReply(**issue.as_dict()) for issue in checked.warnings]
    version = saved.version
    return WorkflowDetail(
        **reply_of(saved.workflow).model_dump(),
        version_id=version.id,
        version=version.number,
        valid=version.valid,
        document=version.spec,
        warnings=warnings,
    )
