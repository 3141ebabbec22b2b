"""Routes of executions, and of their starts."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.responses import StreamingResponse

from api.access import Caller
from api.auth import Identity
from api.cursors import Cursor, Limit, read_node_key, write_cursor
from api.documents import check_document, read_body
from api.executions import rerunning, service, starting
from api.executions.cells import MEDIA_TYPES, Format
from api.executions.exporting import export_of_list, export_of_nodes
from api.executions.queries import Narrowed, Sort, position_of, read_place
from api.executions.schemas import (
    ExecutionDetail,
    ExecutionReply,
    NodeExecutionReply,
    RerunRequest,
    StartDocumentRequest,
    StartRequest,
)
from api.executions.starting import Order
from api.executions.waiting import wait_for_end
from api.people import person_of
from api.permissions import Permission, requires
from api.resources import Held, Resources
from api.schemas import Page
from api.vouching import vouch_for_rerun, vouch_for_start
from api.workflow_access import need_role, sight_of
from api.workflows.service import save_for_start
from models.jsonb import plain_text
from models.repositories.execution_lists import ExecutionLists
from models.repositories.executions import Created, Executions
from models.roles import Role

router = APIRouter(tags=["executions"])

Mode = Annotated[Literal["async", "sync"], Query(description="sync waits for the end, for `wait_s` at most")]
Wait = Annotated[float, Query(ge=0, le=300, description="Seconds that `mode=sync` waits")]
Full = Annotated[bool, Query(description="Large data too")]
Form = Annotated[Format, Query(alias="format", description="json, ndjson or csv; csv cells hold data as JSON")]
EXPORTED: dict[int | str, dict[str, Any]] = {
    200: {"content": {kind.partition(";")[0]: {} for kind in MEDIA_TYPES.values()}}
}
IdempotencyKey = Annotated[
    str | None, Header(min_length=1, max_length=255, description="Repeating the request starts nothing new")
]
_DOCUMENT_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": StartDocumentRequest.model_json_schema()}},
    }
}


@router.post("/workflows/{workflow_id}/execute", status_code=202, responses={200: {"model": ExecutionDetail}})
@requires(Permission.WORKFLOW_RUN)
async def execute_workflow(
    workflow_id: UUID,
    response: Response,
    resources: Held,
    caller: Caller,
    body: StartRequest | None = None,
    mode: Mode = "async",
    wait_s: Wait = 30,
    idempotency_key: IdempotencyKey = None,
) -> ExecutionDetail:
    """Start an execution. 202: it runs or soon will; 200: it has ended (`mode=sync`)."""
    given = body or StartRequest()
    if given.version is not None:  # what is not published may be tried by those who edit it
        await need_role(resources, caller, workflow_id, Role.EDITOR)
    version = await starting.published_version(resources, caller.tenant, workflow_id, given.version)
    await vouch_for_start(resources, caller, version)
    # Without a key the request is what it was before there were keys, for those that are repeated across an upgrade.
    unasked = {"trigger_key"} if given.trigger_key is None else None
    asked = [workflow_id, given.model_dump(exclude=unasked)]
    by = person_of(caller).id
    order = Order(
        given.input, given.trigger, given.metadata, given.priority, idempotency_key, asked, by, given.trigger_key
    )
    longest_s = starting.longest_wait_s(version, order, wait_s)
    created = await starting.start(resources, caller.tenant, version, order)
    return await _started(response, resources, caller, created, mode, longest_s)


@router.post("/executions", status_code=202, responses={200: {"model": ExecutionDetail}}, openapi_extra=_DOCUMENT_BODY)
@requires(Permission.WORKFLOW_WRITE, Permission.WORKFLOW_RUN)
async def execute_document(
    request: Request,
    response: Response,
    resources: Held,
    caller: Caller,
    mode: Mode = "async",
    wait_s: Wait = 30,
    idempotency_key: IdempotencyKey = None,
) -> ExecutionDetail:
    """Save a document as a version of the workflow of its name, and start it."""
    body = await read_body(request, StartDocumentRequest, resources.settings.api.max_body_bytes)
    checked = await check_document(resources, body.document)
    saved = await save_for_start(resources, caller, checked)
    version = await resources.versions.get(caller.tenant, saved.id)
    by = person_of(caller).id
    asked = body.model_dump(exclude={"trigger_key"} if body.trigger_key is None else None)
    order = Order(body.input, body.trigger, body.metadata, body.priority, idempotency_key, asked, by, body.trigger_key)
    longest_s = starting.longest_wait_s(version, order, wait_s)
    created = await starting.start(resources, caller.tenant, version, order)
    return await _started(response, resources, caller, created, mode, longest_s)


@router.get("/executions")
@requires(Permission.EXECUTION_READ, open_to_links=True)
async def list_executions(
    resources: Held,
    caller: Caller,
    narrowed: Narrowed,
    sort: Sort = "-created",
    cursor: Cursor = None,
    limit: Limit = 50,
) -> Page[ExecutionReply]:
    """Executions, the newest first unless `sort` says otherwise, without their data."""
    seen = replace(narrowed, sight=sight_of(caller))
    after = read_place(cursor, sort)
    lists = ExecutionLists(resources.database)
    page = await lists.page(caller.tenant, seen, order=sort, after=after, limit=limit)
    items = [service.reply_of(row) for row in page.items]
    return Page[ExecutionReply](items=items, next=write_cursor(position_of(page.next, sort)))


@router.get("/executions/export", response_class=StreamingResponse, responses=EXPORTED)
@requires(Permission.EXECUTION_READ, open_to_links=True)
async def export_executions(
    resources: Held, caller: Caller, narrowed: Narrowed, form: Form = "json", full: Full = False
) -> StreamingResponse:
    """Executions with their data as a file, newest first."""
    seen = replace(narrowed, sight=sight_of(caller))
    return export_of_list(resources, caller.tenant, seen, form, full=full)


@router.get("/executions/{execution_id}")
@requires(Permission.EXECUTION_READ)
async def get_execution(execution_id: UUID, resources: Held, caller: Caller, full: Full = False) -> ExecutionDetail:
    """An execution with its data."""
    execution = await Executions(resources.database).get(caller.tenant, execution_id)
    return await service.detail_of(resources, caller.tenant, execution, full=full)


@router.get("/executions/{execution_id}/export", response_class=StreamingResponse, responses=EXPORTED)
@requires(Permission.EXECUTION_READ)
async def export_execution(
    execution_id: UUID, resources: Held, caller: Caller, form: Form = "json", full: Full = False
) -> StreamingResponse:
    """The node executions of an execution with their data as a file, by path, iteration and generation."""
    execution = await Executions(resources.database).get(caller.tenant, execution_id)
    return export_of_nodes(resources, caller.tenant, execution, form, full=full)


@router.get("/executions/{execution_id}/nodes")
@requires(Permission.EXECUTION_READ)
async def list_nodes(
    execution_id: UUID,
    resources: Held,
    caller: Caller,
    path: Annotated[str | None, Query(max_length=2000)] = None,
    status: Annotated[str | None, Query(max_length=20)] = None,
    full: Full = False,
    cursor: Cursor = None,
    limit: Limit = 100,
) -> Page[NodeExecutionReply]:
    """Node executions by path, iteration and generation."""
    items, following = await service.list_nodes(
        resources,
        caller.tenant,
        execution_id,
        path=plain_text(path),
        status=plain_text(status),
        after=read_node_key(cursor),
        limit=limit,
        full=full,
    )
    return Page[NodeExecutionReply](items=items, next=write_cursor(following))


@router.post("/executions/{execution_id}/rerun", status_code=202)
@requires(Permission.WORKFLOW_RUN)
async def rerun_execution(
    execution_id: UUID,
    response: Response,
    resources: Held,
    caller: Caller,
    body: RerunRequest | None = None,
    idempotency_key: IdempotencyKey = None,
) -> ExecutionDetail:
    """A new execution that repeats this one from a node on; everything before it keeps its outcome.

    With `version` it runs another version of the workflow, if what is kept fits into it.
    """
    given = body or RerunRequest()
    asked = [execution_id, given.model_dump(exclude_unset=True)]
    order = Order(given.input, key=idempotency_key, asked=asked, by=person_of(caller).id)
    new_input = "input" in given.model_fields_set
    await vouch_for_rerun(resources, caller, execution_id, given.version)
    created = await rerunning.rerun(
        resources, caller.tenant, execution_id, given.from_node, order, new_input=new_input, number=given.version
    )
    return await _started(response, resources, caller, created, "async", 0)


async def _started(
    response: Response, resources: Resources, caller: Identity, created: Created, mode: str, wait_s: float
) -> ExecutionDetail:
    execution = created.execution
    response.headers["Location"] = f"/api/v1/executions/{execution.id}"
    if mode == "sync" and await wait_for_end(resources, caller.tenant, execution.id, wait_s):
        response.status_code = 200
    elif mode == "async" and created.is_new:
        return await service.fresh_detail(resources, caller.tenant, execution)
    execution = await Executions(resources.database).get(caller.tenant, execution.id)
    return await service.detail_of(resources, caller.tenant, execution)
