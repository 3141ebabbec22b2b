"""Waiting for the end of an execution, for synchronous starts."""

from __future__ import annotations

import asyncio
from uuid import UUID

from temporalio.client import WorkflowFailureError
from temporalio.service import RPCError

from api.resources import Resources
from engine.activities.launching import translated_rpc_faults
from engine.errors import SystemFault
from models.repositories.executions import Executions
from models.tenancy import TenantId

_AGAIN_AFTER_S = 0.25


async def wait_for_end(resources: Resources, tenant: TenantId, execution_id: UUID, wait_s: float) -> bool:
    """Wait until an execution has ended, for `wait_s` at most; whether it has.

    Temporal is asked, for it answers at once; the record is complete before it does.
    """
    try:
        async with asyncio.timeout(wait_s):
            while not await _has_ended(resources, tenant, execution_id):  # noqa: ASYNC110  another process has no event
                await asyncio.sleep(_AGAIN_AFTER_S)  # Temporal is away, or the relay has yet to start it
    except TimeoutError:
        return False
    return True


async def _has_ended(resources: Resources, tenant: TenantId, execution_id: UUID) -> bool:
    try:
        handle = await resources.temporal.handle(tenant, execution_id)
        with translated_rpc_faults():
            await handle.result()
    except WorkflowFailureError:
        return True
    except SystemFault:
        return False
    except RPCError:
        # Temporal does not know it: it waits to be started, or it was cancelled while it waited for a slot.
        return (await Executions(resources.database).get(tenant, execution_id)).finished_at is not None
    return True
