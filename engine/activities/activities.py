"""The Temporal activities, as the worker registers them. Each is thin: the work stands in the modules beside this."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import nullcontext
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from temporalio import activity

from engine.activities.approvals import record_approval
from engine.activities.children import ChildQueued, await_child, open_child
from engine.activities.failures import child_queued, system_fault, worker_leaves
from engine.activities.fused.segment import Segment, hand_segment_back
from engine.activities.heartbeat import Heartbeats
from engine.activities.node import NodeRun
from engine.activities.notifications.delivering import deliver_notification
from engine.activities.observation import execution_ended, of_execution, region_run
from engine.activities.region import Region
from engine.activities.rows import finished_message, row_of_wire
from engine.activities.runtime import Runtime
from engine.activities.schedules.opening import open_scheduled, withdraw_scheduled
from engine.contracts import (
    AWAIT_CHILD,
    DELIVER_NOTIFICATION,
    EXECUTE_NODE,
    FINISH_EXECUTION,
    OPEN_CHILD,
    OPEN_SCHEDULED,
    RECORD_APPROVAL,
    RECORD_ROWS,
    RUN_REGION,
    RUN_SEGMENT,
    STORE_VALUE,
    WITHDRAW_SCHEDULED,
    ApprovalRequest,
    AwaitReply,
    AwaitRequest,
    ChildReply,
    ChildRequest,
    FinishRequest,
    LaunchReply,
    NodeRequest,
    NotificationInput,
    OpenScheduled,
    RecordReply,
    RecordRequest,
    RegionRequest,
    RegionResult,
    SegmentRequest,
    StoreRequest,
)
from engine.errors import SystemFault
from models.rows import Finish, Present, Scope
from models.tenancy import mint_tenant


class Activities:
    """Activities bound to the runtime of this worker process."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    def all(self) -> list[Callable[..., Any]]:
        return [
            self.run_region,
            self.run_segment,
            self.execute_node,
            self.finish_execution,
            self.record_rows,
            self.store_value,
            self.open_child,
            self.await_child,
            self.record_approval,
            self.open_scheduled,
            self.withdraw_scheduled,
            self.deliver_notification,
        ]

    @activity.defn(name=RUN_REGION)
    async def run_region(self, request: RegionRequest) -> RegionResult:
        """Drive slices of local nodes; see `engine.activities.region`."""
        try:
            beats = nullcontext() if activity.info().is_local else Heartbeats(self._runtime.heartbeats)
            with region_run(request.meta), beats:
                runtime = await self._runtime.execution(request.meta)
                for row in request.rows:
                    self._runtime.recorder.record(row_of_wire(row, request.meta))
                return await Region(runtime, request).drive()
        except SystemFault as fault:
            raise system_fault(fault) from None
        except asyncio.CancelledError:
            if activity.is_worker_shutdown():
                raise worker_leaves() from None
            raise

    @activity.defn(name=RUN_SEGMENT)
    async def run_segment(self, request: SegmentRequest) -> RegionResult:
        """Drive slices with fused I/O nodes; see `engine.activities.fused.segment`."""
        try:
            with region_run(request.meta), Heartbeats(self._runtime.heartbeats):
                runtime = await self._runtime.execution(request.meta)
                for row in request.rows:
                    self._runtime.recorder.record(row_of_wire(row, request.meta))
                return await Segment(runtime, request).drive()
        except SystemFault as fault:
            hand_segment_back()
            raise system_fault(fault) from None
        except asyncio.CancelledError:
            if activity.is_worker_shutdown():
                hand_segment_back()
                raise worker_leaves() from None
            raise

    @activity.defn(name=EXECUTE_NODE)
    async def execute_node(self, request: NodeRequest) -> list[Any]:
        """Run one node; see `engine.activities.node`."""
        try:
            return await NodeRun(await self._runtime.execution(request.meta), request).run()
        except SystemFault as fault:
            raise system_fault(fault) from None

    @activity.defn(name=FINISH_EXECUTION)
    async def finish_execution(self, request: FinishRequest) -> RecordReply:
        """Close the record of an execution in one transaction, or answer which outcomes it has."""
        finish = _finish_of(request)
        try:
            with of_execution(request.meta):
                result = await self._runtime.recorder.finish(finish)
        except SystemFault as fault:
            raise system_fault(fault) from None
        if result.closed:
            execution_ended(request.meta, result.status, finish.finished_at, (request.error or {}).get("code"))
        return RecordReply(None, result.status) if result.closed else RecordReply(_present(result.present or []))

    @activity.defn(name=RECORD_ROWS)
    async def record_rows(self, request: RecordRequest) -> RecordReply:
        """Record rows that only the interpreter has, and compare the record with its count."""
        recorder, tenant = self._runtime.recorder, mint_tenant(request.meta["tenant"])
        try:
            await recorder.settle([row_of_wire(row, request.meta) for row in request.rows])
            if request.count < 0:
                return RecordReply()
            answer = await recorder.confirm(
                tenant, UUID(request.meta["execution_id"]), request.count, request.digest, _scope_of(request)
            )
        except SystemFault as fault:
            raise system_fault(fault) from None
        return RecordReply(None if answer.complete else _present(answer.present or []))

    @activity.defn(name=STORE_VALUE)
    async def store_value(self, request: StoreRequest) -> dict[str, Any]:
        """Put a value made of many parts into the object store as one."""
        runtime = self._runtime
        tenant = mint_tenant(request.meta["tenant"])
        try:
            data = await runtime.values.load(tenant, request.value)
            return await runtime.values.store(tenant, data, runtime.inline_limit)
        except SystemFault as fault:
            raise system_fault(fault) from None

    @activity.defn(name=OPEN_CHILD)
    async def open_child(self, request: ChildRequest) -> ChildReply:
        """Make the execution row of a child workflow and give its input."""
        try:
            with of_execution(request.meta):
                return await open_child(self._runtime, request)
        except ChildQueued as waits:
            raise child_queued(str(waits), activity.info().attempt) from None
        except SystemFault as fault:
            raise system_fault(fault) from None

    @activity.defn(name=AWAIT_CHILD)
    async def await_child(self, request: AwaitRequest) -> AwaitReply:
        """Wait for a child that an earlier run of the Temporal workflow started."""
        try:
            with Heartbeats(self._runtime.heartbeats):
                return await await_child(self._runtime.temporal, request)
        except asyncio.CancelledError:
            if activity.is_worker_shutdown():
                raise worker_leaves() from None
            raise

    @activity.defn(name=RECORD_APPROVAL)
    async def record_approval(self, request: ApprovalRequest) -> None:
        """Write the row of an approval as it stands; see `engine.activities.approvals`."""
        try:
            await record_approval(self._runtime, request, activity.info().workflow_id or "")
        except SystemFault as fault:
            raise system_fault(fault) from None

    @activity.defn(name=OPEN_SCHEDULED)
    async def open_scheduled(self, request: OpenScheduled) -> LaunchReply:
        """Make the execution row of a schedule that fires and give its input."""
        try:
            return await open_scheduled(self._runtime, request)
        except ChildQueued as waits:
            raise child_queued(str(waits), activity.info().attempt) from None
        except SystemFault as fault:
            raise system_fault(fault) from None

    @activity.defn(name=WITHDRAW_SCHEDULED)
    async def withdraw_scheduled(self, request: OpenScheduled) -> None:
        """End the execution of a schedule that was told to stop before it began."""
        try:
            await withdraw_scheduled(self._runtime, request)
        except SystemFault as fault:
            raise system_fault(fault) from None

    @activity.defn(name=DELIVER_NOTIFICATION)
    async def deliver_notification(self, request: NotificationInput) -> str:
        """Try to send a notification; see `engine.activities.notifications.delivering`."""
        try:
            with Heartbeats(self._runtime.heartbeats):
                return await deliver_notification(self._runtime, request)
        except SystemFault as fault:
            raise system_fault(fault) from None
        except asyncio.CancelledError:
            if activity.is_worker_shutdown():
                raise worker_leaves() from None
            raise


def _finish_of(request: FinishRequest) -> Finish:
    meta = request.meta
    return Finish(
        tenant=mint_tenant(meta["tenant"]),
        execution_id=UUID(meta["execution_id"]),
        status=request.status,
        count=request.count,
        digest=request.digest,
        finished_at=datetime.fromtimestamp(request.finished_at, UTC),
        output=request.output,
        error=request.error,
        attempt=meta["attempt"],
        handled_failures=request.handled_failures,
        rows=tuple(row_of_wire(row, meta) for row in request.rows),
        final=request.final,
        messages=(finished_message(meta, request.status),),
    )


def _present(rows: list[Present]) -> list[Any]:
    return [[row.node_path, list(row.iteration), row.generation, row.digest] for row in rows]


def _scope_of(request: RecordRequest) -> Scope | None:
    if not request.path:
        return None
    place = tuple(request.iteration)
    return Scope(f"{request.path}.", (*place, request.low), (*place, request.high))
