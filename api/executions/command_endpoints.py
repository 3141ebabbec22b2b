"""Routes of commands to executions: one by one, or many by a filter."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Header

from api.access import Caller
from api.auth import Identity
from api.executions import bulk, commands, journal, service
from api.executions.bulk_schemas import BulkReply, BulkRequest
from api.executions.schemas import ExecutionDetail, RetryRequest, SkipRequest
from api.permissions import Permission, requires
from api.resources import Held, Resources

router = APIRouter(tags=["executions"])
IdempotencyKey = Annotated[
    str | None, Header(min_length=1, max_length=255, description="Repeating the request does nothing new")
]


@router.post("/executions/bulk")
@requires(Permission.EXECUTION_CONTROL)
async def bulk_executions(
    body: BulkRequest, resources: Held, caller: Caller, idempotency_key: IdempotencyKey = None
) -> BulkReply:
    """Do the same to many executions: those of the filter that the caller may control, oldest first.

    With `dry_run`, which is the default, nothing is done: the reply says how many there are and names the first.
    """
    return await bulk.carry_out(resources, caller, body, idempotency_key)


@router.post("/executions/{execution_id}/cancel", status_code=202)
@requires(Permission.EXECUTION_CONTROL)
async def cancel_execution(execution_id: UUID, resources: Held, caller: Caller) -> ExecutionDetail:
    """Stop an execution at once; its final state follows. 409 if it has ended."""
    await commands.cancel(resources, caller.tenant, execution_id)
    await journal.note(resources, caller, execution_id, "cancel")
    return await _detail(resources, caller, execution_id)


@router.post("/executions/{execution_id}/pause")
@requires(Permission.EXECUTION_CONTROL)
async def pause_execution(execution_id: UUID, resources: Held, caller: Caller) -> ExecutionDetail:
    """Start no more nodes; those that run go on to their end. 409 if the execution has ended."""
    await commands.set_paused(resources, caller.tenant, execution_id, paused=True)
    await journal.note(resources, caller, execution_id, "pause")
    return await _detail(resources, caller, execution_id)


@router.post("/executions/{execution_id}/resume")
@requires(Permission.EXECUTION_CONTROL)
async def resume_execution(execution_id: UUID, resources: Held, caller: Caller) -> ExecutionDetail:
    """Go on after a pause. 409 if the execution has ended."""
    await commands.set_paused(resources, caller.tenant, execution_id, paused=False)
    await journal.note(resources, caller, execution_id, "resume")
    return await _detail(resources, caller, execution_id)


@router.post("/executions/{execution_id}/nodes/{path}/skip", status_code=204)
@requires(Permission.EXECUTION_CONTROL)
async def skip_node(
    execution_id: UUID, path: str, resources: Held, caller: Caller, body: SkipRequest | None = None
) -> None:
    """Give a node of a live execution an output in place of running it. 409 if it has ended."""
    given = body or SkipRequest()
    await commands.skip_node(resources, caller.tenant, execution_id, path, given.iteration, given.output)
    await journal.note(resources, caller, execution_id, "skip", path, given.iteration)


@router.post("/executions/{execution_id}/nodes/{path}/retry", status_code=204)
@requires(Permission.EXECUTION_CONTROL)
async def retry_node(
    execution_id: UUID, path: str, resources: Held, caller: Caller, body: RetryRequest | None = None
) -> None:
    """Try a node that waits for its next attempt at once. 409 if it does not wait."""
    given = body or RetryRequest()
    await commands.retry_node(resources, caller.tenant, execution_id, path, given.iteration)
    await journal.note(resources, caller, execution_id, "retry", path, given.iteration)


async def _detail(resources: Resources, caller: Identity, execution_id: UUID) -> ExecutionDetail:
    return await service.get_execution(resources, caller.tenant, execution_id, full=False)
