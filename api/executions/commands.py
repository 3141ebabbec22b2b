"""What people ask of a live execution: cancel, pause, resume, skip a node, try one again now."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from temporalio.client import WorkflowHandle, WorkflowUpdateFailedError, WorkflowUpdateRPCTimeoutOrCancelledError
from temporalio.service import RPCError, RPCStatusCode

from api.executions.starting import launch_row
from api.resources import Resources
from engine.activities.launching import RPC_TIMEOUT, translated_rpc_faults
from engine.activities.rows import finished_message
from engine.contracts import PAUSE, RESUME, RETRY_NOW, SKIP, Command
from engine.errors import Conflict, NotFound, SystemFault
from models.repositories.executions import QUEUED, Executions
from models.rows import TERMINAL_EXECUTION_STATUSES
from models.tables import Execution
from models.tenancy import TenantId

UPDATE_TIMEOUT = timedelta(seconds=10)
UPDATE = "command"


async def cancel(resources: Resources, tenant: TenantId, execution_id: UUID) -> None:
    """Ask an execution to stop; its final state is recorded soon after.

    Raises: NotFound; Conflict (EXECUTION_CLOSED); SystemFault.
    """
    execution = await Executions(resources.database).get(tenant, execution_id)
    if execution.reason == QUEUED:
        if await _cancel_queued(resources, tenant, execution):
            return
        execution = await Executions(resources.database).get(tenant, execution_id)  # it was given a slot meanwhile
    if execution.status in TERMINAL_EXECUTION_STATUSES:
        raise _closed()
    handle = await resources.temporal.handle(tenant, execution_id)
    for may_launch in (True, False):
        try:
            with translated_rpc_faults():
                await handle.cancel(rpc_timeout=RPC_TIMEOUT)
        except RPCError as error:
            if error.status != RPCStatusCode.NOT_FOUND:
                raise
            # It closed a moment ago; or Temporal was away when it was made, and a cancelled start must be recorded too.
            if not may_launch or execution.status != "pending":
                raise _closed() from None
            if not await launch_row(resources, tenant, execution):
                raise SystemFault("Temporal did not answer") from None
        else:
            return


async def _cancel_queued(resources: Resources, tenant: TenantId, execution: Execution) -> bool:
    """End an execution that waits for a slot; False if it waits no more."""
    meta = {"execution_id": str(execution.id), "workflow_id": str(execution.workflow_id)}
    message = finished_message(meta, "cancelled")
    cancelled = await Executions(resources.database).cancel_queued(tenant, execution.id, [message])
    if cancelled and resources.live is not None:
        resources.live.publish_status(tenant, execution.id, "cancelled")
    return cancelled


async def set_paused(resources: Resources, tenant: TenantId, execution_id: UUID, *, paused: bool) -> None:
    """Hold back new nodes, or let them go on.

    Raises: NotFound; Conflict (EXECUTION_CLOSED); SystemFault.
    """
    await _open_execution(resources, tenant, execution_id)
    await _command(resources, tenant, execution_id, Command(PAUSE if paused else RESUME))
    executions = Executions(resources.database)
    if not await executions.mark_paused(tenant, execution_id, paused=paused) and paused:
        # No outcome has come yet to make the row a running one.
        await executions.mark_running(tenant, execution_id)
        await executions.mark_paused(tenant, execution_id, paused=True)
    if resources.live is not None:
        resources.live.publish_status(tenant, execution_id, "paused" if paused else "running")


async def skip_node(
    resources: Resources, tenant: TenantId, execution_id: UUID, path: str, iteration: Sequence[int], output: Any
) -> None:
    """Give a node an output in place of running it. Raises: NotFound; Conflict; SystemFault."""
    await _check_node(resources, tenant, execution_id, path)
    value = await resources.values.store(tenant, output, resources.settings.limits.inline_output_bytes)
    if not await _command(resources, tenant, execution_id, Command(SKIP, path, list(iteration), value)):
        raise Conflict(f"node {path} has ended, or is not there in this iteration", code="NODE_NOT_OPEN")


async def retry_node(
    resources: Resources, tenant: TenantId, execution_id: UUID, path: str, iteration: Sequence[int]
) -> None:
    """Try a node that waits for its next attempt at once. Raises: NotFound; Conflict; SystemFault."""
    await _check_node(resources, tenant, execution_id, path)
    if not await _command(resources, tenant, execution_id, Command(RETRY_NOW, path, list(iteration))):
        raise Conflict(f"node {path} does not wait for an attempt", code="NODE_NOT_WAITING")


async def _check_node(resources: Resources, tenant: TenantId, execution_id: UUID, path: str) -> None:
    execution = await _open_execution(resources, tenant, execution_id)
    version = await resources.versions.get(tenant, execution.version_id)
    if path not in version.plan.by_path:
        raise NotFound(f"no node {path[:80]!r} in this execution")


async def _open_execution(resources: Resources, tenant: TenantId, execution_id: UUID) -> Execution:
    execution = await Executions(resources.database).get(tenant, execution_id)
    if execution.status in TERMINAL_EXECUTION_STATUSES:
        raise _closed()
    if execution.reason == QUEUED:
        raise Conflict("the execution waits for a slot and has not begun: cancel it or wait", code="EXECUTION_QUEUED")
    return execution


async def _command(resources: Resources, tenant: TenantId, execution_id: UUID, command: Command) -> bool:
    return await send(await resources.temporal.handle(tenant, execution_id), command)


async def send(handle: WorkflowHandle[Any, Any], command: Command) -> bool:
    """Ask the Temporal workflow of an execution or shard; what it answers.

    Raises: Conflict (EXECUTION_CLOSED) if it has ended; SystemFault if nobody answers.
    """
    try:
        with translated_rpc_faults():
            return bool(await handle.execute_update(UPDATE, command, rpc_timeout=UPDATE_TIMEOUT))
    except WorkflowUpdateRPCTimeoutOrCancelledError:
        raise SystemFault("no worker took the command in time: it may still be carried out") from None
    except WorkflowUpdateFailedError:
        raise _closed() from None  # its validator refuses once the execution is closing
    except RPCError as error:
        if error.status != RPCStatusCode.NOT_FOUND:
            raise
        raise _closed() from None


def _closed() -> Conflict:
    return Conflict("the execution has ended", code="EXECUTION_CLOSED")
