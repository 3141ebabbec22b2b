"""What Temporal says of executions: whether they run, and how they ended."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, cast
from uuid import UUID

from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest
from temporalio.client import WorkflowExecutionDescription, WorkflowExecutionStatus, WorkflowFailureError
from temporalio.common import SearchAttributeKey
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode

from engine.activities.launching import RPC_TIMEOUT, TemporalLink, translated_rpc_faults
from engine.contracts import ATTRIBUTE_STATUS, EXECUTION_WORKFLOW, SHARD_WORKFLOW
from engine.errors import CANCELLED, INTERRUPTED

_STATUS = SearchAttributeKey.for_keyword(ATTRIBUTE_STATUS)
_RESULT_S = 10
_PAGE = 200
_RUNNING = f'WorkflowType IN ("{EXECUTION_WORKFLOW}", "{SHARD_WORKFLOW}") AND ExecutionStatus = "Running"'
_GONE = "Temporal does not know this execution any more, so nobody can say how it went on: rerun it"


@dataclass(frozen=True, slots=True)
class End:
    """How an execution ended, in the words of the record. `known` is False if Temporal has forgotten it."""

    status: str
    finished_at: datetime
    output: dict[str, Any] | None = None
    error: dict[str, Any] | None = None
    known: bool = True


@dataclass(frozen=True, slots=True)
class Running:
    """A Temporal workflow that runs, of an execution or of a part of it."""

    id: str
    run_id: str
    tenant: UUID
    execution: UUID


class TemporalEnds:
    """Asks Temporal. Every call raises SystemFault if it is away."""

    def __init__(self, link: TemporalLink, namespace: str) -> None:
        self._link = link
        self._namespace = namespace

    async def knows_namespace(self) -> bool:
        """Whether the namespace is there at all; without it no execution is known, which says nothing of any."""
        client = await self._link.client()
        try:
            with translated_rpc_faults():
                request = DescribeNamespaceRequest(namespace=self._namespace)
                await client.workflow_service.describe_namespace(request, timeout=RPC_TIMEOUT)
        except RPCError:
            return False
        return True

    async def end_of(self, tenant: UUID, execution: UUID) -> End | None:
        """How the execution ended; None if it runs."""
        handle = await self._link.handle(tenant, execution)
        try:
            with translated_rpc_faults():
                told = await handle.describe(rpc_timeout=RPC_TIMEOUT)
        except RPCError as error:
            if error.status != RPCStatusCode.NOT_FOUND:
                raise
            return End("failed", datetime.now(UTC), error=_error(INTERRUPTED, _GONE), known=False)
        if told.status == WorkflowExecutionStatus.RUNNING:
            return None
        at = told.close_time or datetime.now(UTC)
        if told.status == WorkflowExecutionStatus.COMPLETED:
            async with asyncio.timeout(_RESULT_S):
                with translated_rpc_faults():
                    result = cast("Mapping[str, Any]", await handle.result())
            return End(str(result["status"]), at, output=result.get("output"))
        if told.status == WorkflowExecutionStatus.FAILED:
            return End(_failed_as(told), at, error=await self._failure(handle))
        if told.status == WorkflowExecutionStatus.CANCELED:
            return End("cancelled", at)
        if told.status == WorkflowExecutionStatus.TIMED_OUT:
            return End("timed_out", at, error=_error(INTERRUPTED, "Temporal ended it for its time"))
        return End("cancelled", at, error=_error(CANCELLED, "it was terminated in Temporal"))

    async def _failure(self, handle: Any) -> dict[str, Any]:
        try:
            async with asyncio.timeout(_RESULT_S):
                with translated_rpc_faults():
                    await handle.result()
        except WorkflowFailureError as failed:
            cause = failed.cause
            if isinstance(cause, ApplicationError) and cause.details and isinstance(cause.details[0], dict):
                return cast("dict[str, Any]", cause.details[0])
            return _error(INTERRUPTED, str(cause))
        return _error(INTERRUPTED, "it failed in Temporal")

    async def running(self, started_before: datetime) -> AsyncGenerator[list[Running]]:
        """Temporal workflows of executions that run, a page at a time."""
        client = await self._link.client()
        query = f'{_RUNNING} AND StartTime < "{started_before.isoformat()}"'
        pages = client.list_workflows(query, page_size=_PAGE, rpc_timeout=RPC_TIMEOUT)
        while True:
            with translated_rpc_faults():
                await pages.fetch_next_page()
            found = (_running(one.id, one.run_id) for one in pages.current_page or ())
            yield [one for one in found if one is not None]
            if not pages.next_page_token:
                return

    async def terminate(self, one: Running, reason: str) -> bool:
        """End it at once; False if it has ended already."""
        client = await self._link.client()
        try:
            with translated_rpc_faults():
                handle = client.get_workflow_handle(one.id, run_id=one.run_id)
                await handle.terminate(reason=reason, rpc_timeout=RPC_TIMEOUT)
        except RPCError as error:
            if error.status != RPCStatusCode.NOT_FOUND:
                raise
            return False
        return True


def _failed_as(told: WorkflowExecutionDescription) -> str:
    status = told.typed_search_attributes.get(_STATUS)
    return "timed_out" if status == "timed_out" else "failed"


def _running(workflow_id: str, run_id: str) -> Running | None:
    parts = workflow_id.split(":")
    try:
        return Running(workflow_id, run_id, UUID(parts[0]), UUID(parts[1]))
    except (ValueError, IndexError):
        return None


def _error(code: str, message: str) -> dict[str, Any]:
    return {"code": code, "message": message, "details": {}, "retryable": False}
