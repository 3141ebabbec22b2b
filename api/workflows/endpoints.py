"""Routes of workflows."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response

from api.access import Caller
from api.cursors import Cursor, Limit, read_id, write_cursor
from api.documents import TEXT_TYPES, check_document, envelope_bytes, read_body
from api.permissions import Permission, requires
from api.resources import Held
from api.schemas import Page
from api.workflows import service
from api.workflows.etags import IfMatch, IfNoneMatch, etag_of, expected_version
from api.workflows.schemas import DocumentRequest, Validation, WorkflowDetail, WorkflowReply
from engine.errors import ValidationFailed
from models.repositories.workflows import Saved

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


@router.post("", status_code=201, openapi_extra=_DOCUMENT_BODY)
@requires(Permission.WORKFLOW_WRITE)
async def create_workflow(
    request: Request, response: Response, resources: Held, caller: Caller, if_exists: IfExists = "fail"
) -> WorkflowDetail:
    """Save a document as a new workflow and publish it; with `if_exists=save`, as the next version of one there is."""
    body = await read_body(request, DocumentRequest, envelope_bytes(resources))
    checked = await check_document(resources, body.document)
    save = service.create_workflow if if_exists == "fail" else service.apply_workflow
    saved = await save(resources, caller.tenant, checked, body.note)
    _note(response, saved)
    response.headers["Location"] = f"/api/v1/workflows/{saved.workflow.id}"
    return service.detail_of(saved, checked)


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
@requires(Permission.WORKFLOW_READ)
async def list_workflows(
    resources: Held,
    caller: Caller,
    search: Annotated[str | None, Query(max_length=200, description="Part of the name, in any case")] = None,
    status: Literal["active", "archived", "any"] = "active",
    cursor: Cursor = None,
    limit: Limit = 50,
) -> Page[WorkflowReply]:
    """Workflows, newest first."""
    page = await service.list_workflows(
        resources, caller.tenant, search=search, status=status, before=read_id(cursor), limit=limit
    )
    items = [WorkflowReply.model_validate(row, from_attributes=True) for row in page.items]
    return Page[WorkflowReply](items=items, next=write_cursor(page.next))


@router.get("/{workflow_id}", response_model=WorkflowDetail)
@requires(Permission.WORKFLOW_READ)
async def get_workflow(
    workflow_id: UUID, response: Response, resources: Held, caller: Caller, if_none_match: IfNoneMatch = None
) -> WorkflowDetail | Response:
    """A workflow with the document of its latest version."""
    saved = await service.get_workflow(resources, caller.tenant, workflow_id)
    if if_none_match is not None and etag_of(saved.workflow) in if_none_match:
        return Response(status_code=304, headers={"ETag": etag_of(saved.workflow)})
    _note(response, saved)
    return service.detail_of(saved)


@router.put("/{workflow_id}", openapi_extra=_DOCUMENT_BODY)
@requires(Permission.WORKFLOW_WRITE)
async def update_workflow(
    workflow_id: UUID,
    request: Request,
    response: Response,
    resources: Held,
    caller: Caller,
    if_match: IfMatch = None,
) -> WorkflowDetail:
    """Save a document as the next version and publish it; 412 if `If-Match` names another version than the latest."""
    expected = expected_version(if_match)
    body = await read_body(request, DocumentRequest, envelope_bytes(resources))
    checked = await check_document(resources, body.document)
    saved = await service.save_version(
        resources, caller.tenant, workflow_id, checked, body.note, expected_latest=expected
    )
    _note(response, saved)
    return service.detail_of(saved, checked)


@router.delete("/{workflow_id}", status_code=204)
@requires(Permission.WORKFLOW_WRITE)
async def archive_workflow(workflow_id: UUID, resources: Held, caller: Caller) -> None:
    """Archive a workflow: nothing starts from it any more, its versions and executions stay."""
    await service.archive_workflow(resources, caller.tenant, workflow_id)


def _note(response: Response, saved: Saved) -> None:
    response.headers["ETag"] = etag_of(saved.workflow)
