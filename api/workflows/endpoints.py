"""Routes of workflows."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response

from api.access import Caller
from api.conditional import IfNoneMatch, has_already, not_modified, tag
from api.documents import TEXT_TYPES, check_document, envelope_bytes, read_body
from api.permissions import Permission, requires
from api.resources import Held
from api.schemas import Page
from api.workflow_access import need_role
from api.workflows import lifecycle, listing, service
from api.workflows.etags import IfMatch, etag_of, expected_version
from api.workflows.schemas import (
    DocumentRequest,
    DuplicateRequest,
    Validation,
    WorkflowChange,
    WorkflowDetail,
    WorkflowReply,
)
from engine.errors import ValidationFailed
from models.repositories.workflows import Saved
from models.roles import Role
from models.tables import Workflow

router = APIRouter(prefix="/workflows", tags=["workflows"])

_DOCUMENT_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "The document in a JSON envelope, or itself as YAML or JSON text",
        "content": {
            "application/json": {"schema": DocumentRequest.model_json_schema()},
            TEXT_TYPES[0]: {"schema": {"type": "string"}},
        },
    }
}
IfExists = Annotated[Literal["fail", "save"], Query(description="What to do if there is a workflow of this name")]
Publish = Annotated[bool, Query(description="false saves a draft, which may have errors, and publishes nothing")]
Permanently = Annotated[bool, Query(description="Delete an archived workflow and its versions for good")]


@router.post("", status_code=201, openapi_extra=_DOCUMENT_BODY)
@requires(Permission.WORKFLOW_WRITE)
async def create_workflow(
    request: Request,
    response: Response,
    resources: Held,
    caller: Caller,
    if_exists: IfExists = "fail",
    publish: Publish = True,
) -> WorkflowDetail:
    """Save a document as a new workflow and publish it; with `if_exists=save`, as the next version of one there is."""
    body = await read_body(request, DocumentRequest, envelope_bytes(resources))
    checked = await check_document(resources, body.document, draft=not publish)
    save = service.create_workflow if if_exists == "fail" else service.apply_workflow
    saved = await save(resources, caller, checked, body.note, publish=publish)
    return _created(response, saved, service.detail_of(saved, checked))


@router.post("/validate", openapi_extra=_DOCUMENT_BODY)
@requires(Permission.WORKFLOW_READ)
async def validate_workflow(request: Request, resources: Held) -> Validation:
    """Every issue of a document. Nothing is stored and nothing runs."""
    try:
        body = await read_body(request, DocumentRequest, envelope_bytes(resources))
    except ValidationFailed as failure:
        return service.refused(failure)
    return await service.validate_document(resources, body.document)


@router.get("")
@requires(Permission.WORKFLOW_READ, open_to_links=True)
async def list_workflows(
    resources: Held, caller: Caller, query: Annotated[listing.ListQuery, Query()]
) -> Page[WorkflowReply]:
    """The workflows that the caller may see, newest first unless sorted otherwise; archived ones only on demand."""
    return await listing.list_workflows(resources, caller, query)


@router.get("/{workflow_id}", response_model=WorkflowDetail)
@requires(Permission.WORKFLOW_READ)
async def get_workflow(
    workflow_id: UUID, response: Response, resources: Held, caller: Caller, if_none_match: IfNoneMatch = None
) -> WorkflowDetail | Response:
    """A workflow with the document of its latest version."""
    saved = await service.get_workflow(resources, caller.tenant, workflow_id)
    if has_already(if_none_match, etag_of(saved.workflow)):
        return not_modified(etag_of(saved.workflow))
    return _noted(response, saved, service.detail_of(saved))


@router.put("/{workflow_id}", openapi_extra=_DOCUMENT_BODY)
@requires(Permission.WORKFLOW_WRITE)
async def update_workflow(
    workflow_id: UUID,
    request: Request,
    response: Response,
    resources: Held,
    caller: Caller,
    publish: Publish = True,
    if_match: IfMatch = None,
) -> WorkflowDetail:
    """Save a document as the next version and publish it; 412 if `If-Match` names another version than the latest."""
    expected = expected_version(if_match)
    body = await read_body(request, DocumentRequest, envelope_bytes(resources))
    checked = await check_document(resources, body.document, draft=not publish)
    saved = await service.save_version(
        resources, caller, workflow_id, checked, body.note, expected_latest=expected, publish=publish
    )
    return _noted(response, saved, service.detail_of(saved, checked))


@router.patch("/{workflow_id}")
@requires(Permission.WORKFLOW_WRITE)
async def change_workflow(
    workflow_id: UUID,
    body: WorkflowChange,
    response: Response,
    resources: Held,
    caller: Caller,
    if_match: IfMatch = None,
) -> WorkflowDetail:
    """Rename, describe, move or tag a workflow; 412 if it is not as `If-Match` says."""
    saved = await lifecycle.change_workflow(resources, caller, workflow_id, body, if_match)
    return _noted(response, saved, service.detail_of(saved))


@router.delete("/{workflow_id}", status_code=204)
@requires(Permission.WORKFLOW_WRITE)
async def delete_workflow(workflow_id: UUID, resources: Held, caller: Caller, permanently: Permanently = False) -> None:
    """Archive a workflow: nothing starts from it any more, its versions and executions stay.

    With `permanently`, delete one that is archived already and has no execution running, if the caller owns it.
    Executions that have ended stay, and can no longer be rerun.
    """
    if permanently:
        await need_role(resources, caller, workflow_id, Role.OWNER)
        await lifecycle.delete_workflow(resources, caller, workflow_id)
    else:
        await lifecycle.archive_workflow(resources, caller, workflow_id)


@router.post("/{workflow_id}/pause")
@requires(Permission.WORKFLOW_WRITE)
async def pause_workflow(workflow_id: UUID, response: Response, resources: Held, caller: Caller) -> WorkflowReply:
    """Let nothing start from the workflow until it is resumed; executions that run go on."""
    return _turned(response, await lifecycle.pause_workflow(resources, caller, workflow_id))


@router.post("/{workflow_id}/resume")
@requires(Permission.WORKFLOW_WRITE)
async def resume_workflow(workflow_id: UUID, response: Response, resources: Held, caller: Caller) -> WorkflowReply:
    """Let executions start again."""
    return _turned(response, await lifecycle.resume_workflow(resources, caller, workflow_id))


@router.post("/{workflow_id}/archive")
@requires(Permission.WORKFLOW_WRITE)
async def archive_workflow(workflow_id: UUID, response: Response, resources: Held, caller: Caller) -> WorkflowReply:
    """Put the workflow away: lists hide it and nothing starts from it."""
    return _turned(response, await lifecycle.archive_workflow(resources, caller, workflow_id))


@router.post("/{workflow_id}/restore")
@requires(Permission.WORKFLOW_WRITE)
async def restore_workflow(workflow_id: UUID, response: Response, resources: Held, caller: Caller) -> WorkflowReply:
    """Take the workflow out of the archive: active if a version is published, else a draft."""
    return _turned(response, await lifecycle.restore_workflow(resources, caller, workflow_id))


@router.post("/{workflow_id}/duplicate", status_code=201)
@requires(Permission.WORKFLOW_READ, Permission.WORKFLOW_WRITE, role=Role.VIEWER)
async def duplicate_workflow(
    workflow_id: UUID,
    response: Response,
    resources: Held,
    caller: Caller,
    body: DuplicateRequest | None = None,
) -> WorkflowDetail:
    """Make a draft of the caller's own from a version; it fires nothing before it is published."""
    saved = await lifecycle.duplicate_workflow(resources, caller, workflow_id, body or DuplicateRequest())
    return _created(response, saved, service.detail_of(saved))


def _created(response: Response, saved: Saved, detail: WorkflowDetail) -> WorkflowDetail:
    response.headers["Location"] = f"/api/v1/workflows/{saved.workflow.id}"
    return _noted(response, saved, detail)


def _noted(response: Response, saved: Saved, detail: WorkflowDetail) -> WorkflowDetail:
    tag(response, etag_of(saved.workflow))
    return detail


def _turned(response: Response, workflow: Workflow) -> WorkflowReply:
    tag(response, etag_of(workflow))
    return service.reply_of(workflow)
