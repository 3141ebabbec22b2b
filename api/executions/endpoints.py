"""Routes of executions, and of their starts."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Header, Query, Request, Response

from api.access import Caller
from api.auth import Identity
from api.cursors import Cursor, Limit, read_id, read_node_key, write_cursor
from api.documents import check_document, read_body
from api.executions import commands, rerunning, service, starting
from api.executions.schemas import (
    ExecutionDetail,
    ExecutionReply,
    NodeExecutionReply,
    RerunRequest,
    RetryRequest,
    SkipRequest,
    StartDocumentRequest,
    StartRequest,
)
from api.executions.starting import Order
from api.executions.waiting import wait_for_end
from api.people import person_of
from api.permissions import Permission, requires
from api.resources import Held, Resources
from api.schemas import Page
from api.workflows.service import save_for_start
from engine.errors import Issue, ValidationFailed
from models.jsonb import plain_text
from models.repositories.executions import Created, Executions

router = APIRouter(tags=["executions"])

STATUSES = ("pending", "running", "paused", "success", "failed", "cancelled", "timed_out")
Mode = Annotated[Literal["async", "sync"], Query(description="sync waits for the end, for `wait_s` at most")]
Wait = Annotated[float, Query(ge=0, le=300, description="Seconds that `mode=sync` waits")]
Full = Annotated[bool, Query(description="Large data too")]
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
    version = await starting.published_version(resources, caller.tenant, workflow_id, given.version)
    asked = [workflow_id, given.model_dump()]
    by = person_of(caller).id
    order = Order(given.input, given.trigger, given.metadata, given.priority, idempotency_key, asked, by)
    created = await starting.start(resources, caller.tenant, version, order)
    return await _started(response, resources, caller, created, mode, wait_s)


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
    saved = await save_for_start(resources, caller.tenant, checked)
    version = await resources.versions.get(caller.tenant, saved.id)
    by = person_of(caller).id
    order = Order(body.input, body.trigger, body.metadata, body.priority, idempotency_key, body.model_dump(), by)
    created = await starting.start(resources, caller.tenant, version, order)
    return await _started(response, resources, caller, created, mode, wait_s)


@router.get("/executions")
@requires(Permission.EXECUTION_READ)
async def list_executions(
    resources: Held,
    caller: Caller,
    workflow_id: UUID | None = None,
    status: Annotated[str | None, Query(max_length=200, description="One or several, with commas")] = None,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> Page[ExecutionReply]:
    """Executions, newest first, without their data."""
    page = await service.list_executions(
        resources,
        caller.tenant,
        workflow_id=workflow_id,
        statuses=_statuses(status),
        before=read_id(cursor),
        limit=limit,
    )
    return Page[ExecutionReply](items=[service.reply_of(row) for row in page.items], next=write_cursor(page.next))


@router.get("/executions/{execution_id}")
@requires(Permission.EXECUTION_READ)
async def get_execution(execution_id: UUID, resources: Held, caller: Caller, full: Full = False) -> ExecutionDetail:
    """An execution with its data."""
    return await service.get_execution(resources, caller.tenant, execution_id, full=full)


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


@router.post("/executions/{execution_id}/cancel", status_code=202)
@requires(Permission.EXECUTION_CONTROL)
async def cancel_execution(execution_id: UUID, resources: Held, caller: Caller) -> ExecutionDetail:
    """Stop an execution at once; its final state follows. 409 if it has ended."""
    await commands.cancel(resources, caller.tenant, execution_id)
    return await service.get_execution(resources, caller.tenant, execution_id, full=False)


@router.post("/executions/{execution_id}/pause")
@requires(Permission.EXECUTION_CONTROL)
async def pause_execution(execution_id: UUID, resources: Held, caller: Caller) -> ExecutionDetail:
    """Start no more nodes; those that run go on to their end. 409 if the execution has ended."""
    await commands.set_paused(resources, caller.tenant, execution_id, paused=True)
    return await service.get_execution(resources, caller.tenant, execution_id, full=False)


@router.post("/executions/{execution_id}/resume")
@requires(Permission.EXECUTION_CONTROL)
async def resume_execution(execution_id: UUID, resources: Held, caller: Caller) -> ExecutionDetail:
    """Go on after a pause. 409 if the execution has ended."""
    await commands.set_paused(resources, caller.tenant, execution_id, paused=False)
    return await service.get_execution(resources, caller.tenant, execution_id, full=False)


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
    """A new execution that repeats this one from a node on; everything before it keeps its outcome."""
    given = body or RerunRequest()
    asked = [execution_id, given.model_dump(exclude_unset=True)]
    order = Order(given.input, key=idempotency_key, asked=asked, by=person_of(caller).id)
    new_input = "input" in given.model_fields_set
    created = await rerunning.rerun(resources, caller.tenant, execution_id, given.from_node, order, new_input=new_input)
    return await _started(response, resources, caller, created, "async", 0)


@router.post("/executions/{execution_id}/nodes/{path}/skip", status_code=204)
@requires(Permission.EXECUTION_CONTROL)
async def skip_node(
    execution_id: UUID, path: str, resources: Held, caller: Caller, body: SkipRequest | None = None
) -> None:
    """Give a node of a live execution an output in place of running it. 409 if it has ended."""
    given = body or SkipRequest()
    await commands.skip_node(resources, caller.tenant, execution_id, path, given.iteration, given.output)


@router.post("/executions/{execution_id}/nodes/{path}/retry", status_code=204)
@requires(Permission.EXECUTION_CONTROL)
async def retry_node(
    execution_id: UUID, path: str, resources: Held, caller: Caller, body: RetryRequest | None = None
) -> None:
    """Try a node that waits for its next attempt at once. 409 if it does not wait."""
    given = body or RetryRequest()
    await commands.retry_node(resources, caller.tenant, execution_id, path, given.iteration)


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


def _statuses(text: str | None) -> list[str] | None:
    if text is None:
        return None
    wanted = [part.strip() for part in text.split(",")]
    if unknown := [part for part in wanted if part not in STATUSES]:
        issue = Issue("INVALID_VALUE", "query.status", f"no such status: {unknown[0][:40]!r}", ", ".join(STATUSES))
        raise ValidationFailed([issue], "the request is not valid")
    return wanted
