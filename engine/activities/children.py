"""Child executions: their rows, and finding one again after the parent continued as new."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from temporalio.client import Client, WorkflowExecutionStatus, WorkflowFailureError
from temporalio.exceptions import ApplicationError, CancelledError
from temporalio.service import RPCError

from engine.activities.runtime import Runtime
from engine.activities.startable import version_to_start
from engine.activities.starting import MAX_DEPTH, execution_input
from engine.contracts import AwaitReply, AwaitRequest, ChildReply, ChildRequest, idempotency_key, temporal_id
from engine.dag.inputs import check_input
from engine.dag.outcome import error_dict
from engine.errors import (
    CANCELLED,
    EXECUTION_FAILED,
    INVALID_CONFIG,
    RESOURCE_EXHAUSTED,
    Conflict,
    NodeError,
    NotFound,
    StructForgeError,
    ValidationFailed,
)
from models.ids import id_of_fire
from models.repositories.executions import QUEUED, Executions, NewExecution
from models.repositories.workflow_calls import WorkflowCalls
from models.repositories.workflows import Workflows
from models.tables import Workflow
from models.tenancy import TenantId, mint_tenant

DESCRIBE_TIMEOUT = timedelta(seconds=5)


class ChildQueued(Exception):
    """The child waits for a slot of its workflow: ask again."""


async def open_child(runtime: Runtime, request: ChildRequest) -> ChildReply:
    """Make the child's row, once for a node execution, and give its input.

    Raises: ChildQueued while it waits for a slot; SystemFault if PostgreSQL or the object store does not answer.
    """
    meta = request.meta
    tenant = mint_tenant(meta["tenant"])
    try:
        if meta.get("depth", 0) + 1 > MAX_DEPTH:
            raise NodeError(f"workflows call each other more than {MAX_DEPTH} deep", code=RESOURCE_EXHAUSTED)
        new = await _new_execution(runtime, tenant, request)
        created = await Executions(runtime.database).create_execution(tenant, new)
        if created.execution.reason == QUEUED:
            if not await _is_cancelled(runtime, meta):
                raise ChildQueued(f"execution {new.id} waits for a slot of workflow {new.workflow_name!r}")
            await Executions(runtime.database).cancel_queued(tenant, new.id)
            return ChildReply(error=error_dict(CANCELLED, "its parent was cancelled before it began"))
        if created.execution.status == "cancelled":
            return ChildReply(error=error_dict(CANCELLED, "the child was cancelled before it began"))
        child = await execution_input(runtime.database, runtime.versions, tenant, created.execution.id)
        return ChildReply(input=asdict(child))
    except ValidationFailed as error:
        details: dict[str, Any] = {"issues": [issue.as_dict() for issue in error.issues]}
        return ChildReply(error=error_dict(INVALID_CONFIG, "the child's input is not valid", details))
    except (NotFound, Conflict, NodeError) as error:
        return ChildReply(error=_refusal(error))


async def _is_cancelled(runtime: Runtime, meta: dict[str, Any]) -> bool:
    """Whether the parent has ended, or was asked to: its child would wait in vain."""
    handle = runtime.temporal.get_workflow_handle(temporal_id(meta["tenant"], meta["execution_id"]))
    try:
        described = await handle.describe(rpc_timeout=DESCRIBE_TIMEOUT)
    except RPCError:
        return False  # asked again when the child is asked for again
    asked = described.raw_description.workflow_extended_info.cancel_requested
    return asked or described.status != WorkflowExecutionStatus.RUNNING


def _refusal(error: StructForgeError) -> dict[str, Any]:
    code = error.code if isinstance(error, NodeError) else INVALID_CONFIG
    if error.code == "QUOTA_EXCEEDED":
        code = RESOURCE_EXHAUSTED
    return error_dict(code, error.message, error.details)


async def _new_execution(runtime: Runtime, tenant: TenantId, request: ChildRequest) -> NewExecution:
    opened, meta = request.opened, request.meta
    workflow = await _find(runtime, tenant, str(opened["workflow"]))
    # As if there were none: its author may not know that there is one.
    if not await WorkflowCalls(runtime.database).may_call(tenant, UUID(meta["version_id"]), workflow.id):
        raise NotFound(f"no workflow {opened['workflow']!r} that this one's author may start")
    # A parent may try a draft of its own; what is paused or archived starts for nobody.
    number = version_to_start(workflow, opened.get("version") or workflow.published_version or workflow.latest_version)
    version = await runtime.versions.get_number(tenant, workflow.id, int(number))
    given = await runtime.values.load(tenant, opened["input"])
    checked = check_input(version.spec, {} if given is None else given)
    triggers = version.plan.triggers()
    manual = [node for node in triggers if node.type == "manual"] or (triggers if len(triggers) == 1 else [])
    if triggers and not manual:
        raise NodeError(f"workflow {workflow.name!r} has several triggers and none is manual", code=INVALID_CONFIG)
    key = idempotency_key(meta["execution_id"], request.path, request.iteration, request.generation)
    return NewExecution(
        id=id_of_fire(datetime.fromtimestamp(request.started_at, UTC), key),
        workflow_id=workflow.id,
        version_id=version.id,
        workflow_name=version.workflow_name,
        input=await runtime.values.store(tenant, checked),
        trigger="workflow",
        trigger_node=manual[0].path if manual else None,
        parent_execution_id=UUID(meta["execution_id"]),
        node_total=len(version.plan.main.nodes),
        started_by=str(meta.get("started_by", "")),
    )


async def _find(runtime: Runtime, tenant: TenantId, name: str) -> Workflow:
    """A workflow by name, or by id. Raises: NotFound."""
    rows = Workflows(runtime.database)
    try:
        return await rows.get_by_name(tenant, name)
    except NotFound:
        try:
            identifier = UUID(name)
        except ValueError:
            raise NotFound(f"no workflow is called {name!r}") from None
        return await rows.get(tenant, identifier)


async def await_child(client: Client, request: AwaitRequest) -> AwaitReply:
    """Wait for the end of a Temporal workflow of this tenant."""
    if not request.temporal_id.startswith(f"{request.meta['tenant']}:"):
        return AwaitReply("failed", error=error_dict(EXECUTION_FAILED, "the child belongs to another tenant"))
    handle = client.get_workflow_handle(request.temporal_id, result_type=dict)
    try:
        return AwaitReply("success", result=await handle.result())
    except WorkflowFailureError as error:
        return _reply_of(error)


def _reply_of(error: WorkflowFailureError) -> AwaitReply:
    cause = error.cause
    if isinstance(cause, CancelledError):
        return AwaitReply("cancelled", result=cause.details[0] if cause.details else None)
    if isinstance(cause, ApplicationError) and cause.details:
        return AwaitReply("failed", error=cause.details[0])
    return AwaitReply("failed", error=error_dict(EXECUTION_FAILED, f"the child failed: {cause}"))
