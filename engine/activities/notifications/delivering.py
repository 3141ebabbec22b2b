"""Delivering a notification: one try, and what follows from how it went.

A try counts in the row before it begins. Whoever finds the row `sending` follows a worker that died in between; the
message may have arrived, and is sent again under the same id. So each event reaches a receiver that goes by the ids
once, and any receiver at least once.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID

import orjson
from temporalio.exceptions import ApplicationError

from engine.activities.notifications.sending import Sending
from engine.activities.runtime import Runtime
from engine.contracts import NotificationInput
from engine.errors import EXPRESSION_ERROR, OUTCOME_UNKNOWN, OUTPUT_TOO_LARGE, NodeError, NotFound, SystemFault
from models.repositories.executions import Executions
from models.repositories.notifications import Notifications
from models.tables import Notification
from models.tenancy import TenantId, mint_tenant

RETRY = "NOTIFICATION_RETRY"  # type of the failure that Temporal repeats
LONGEST_WAIT_S = 900.0
MAX_OUTPUT_BYTES = 32_768
_log = logging.getLogger(__name__)


async def deliver_notification(runtime: Runtime, request: NotificationInput) -> str:
    """Try once. `sent`, `dead`, or nothing where there is no more to do.

    Raises: ApplicationError RETRY with the time to wait; SystemFault.
    """
    tenant, rows = mint_tenant(request.tenant), Notifications(runtime.database)
    row = await rows.begin(tenant, UUID(request.notification_id), request.round)
    if row is None:
        return ""
    note: dict[str, Any] | None = None
    try:
        if row.attempts > request.max_attempts:
            raise NodeError("its last try was begun and never ended: it may have arrived", code=OUTCOME_UNKNOWN)
        note = await _attempt(Sending(runtime, tenant, row, request))
    except NodeError as error:
        return await _failed(rows, tenant, row, request, error)
    except SystemFault:
        await rows.take_back(tenant, row.id, row.round)
        raise
    await rows.end(tenant, row.id, row.round, "sent", note)
    return "sent"


async def _attempt(sending: Sending) -> dict[str, Any] | None:
    """Send in the words of the rule, or in the product's if they cannot be filled in: why is returned."""
    facts = await _with_output(sending)
    try:
        await sending.send(facts, sending.row.template)
    except NodeError as error:
        if sending.row.template is None or error.code not in (EXPRESSION_ERROR, OUTPUT_TOO_LARGE):
            raise
        await sending.send(facts, None)
        return error.as_dict()
    return None


async def _with_output(sending: Sending) -> Mapping[str, Any]:
    row = sending.row
    if not row.include_output or row.execution_id is None or row.event == "waiting":
        return row.facts
    try:
        execution = await Executions(sending.runtime.database).get(sending.tenant, row.execution_id)
    except NotFound:
        return row.facts
    output: Any = None
    if execution.output is not None:
        output = await sending.runtime.values.load(sending.tenant, execution.output)
    if len(orjson.dumps(output, default=str)) > MAX_OUTPUT_BYTES:
        output = {"left_out": "it is too large for a notification"}
    return {**row.facts, "output": output}


async def _failed(
    rows: Notifications, tenant: TenantId, row: Notification, request: NotificationInput, error: NodeError
) -> str:
    if not error.retryable or row.attempts >= request.max_attempts:
        await rows.end(tenant, row.id, row.round, "dead", error.as_dict())
        _log.warning("notification %s is given up after %d tries: %s", row.id, row.attempts, error)
        return "dead"
    await rows.end(tenant, row.id, row.round, "pending", error.as_dict())
    wait_s = max(min(LONGEST_WAIT_S, request.first_retry_s * 3.0 ** (row.attempts - 1)), error.retry_after_s or 0.0)
    raise ApplicationError(error.message[:2000], type=RETRY, next_retry_delay=timedelta(seconds=wait_s))
