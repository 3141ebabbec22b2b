"""The launcher: what a Temporal Schedule starts, because it starts before any row of an execution exists.

It opens the row, runs the execution as its child and ends with it, so that Temporal's overlap policies hold for
executions. Its own Temporal id carries the time that was meant, and the execution's id is made from that time and the
schedule, so a fire that comes twice starts one execution.
"""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import Any, cast

from temporalio import workflow
from temporalio.common import (
    Priority,
    SearchAttributeKey,
    SearchAttributePair,
    TypedSearchAttributes,
    WorkflowIDReusePolicy,
)
from temporalio.exceptions import (
    ActivityError,
    ApplicationError,
    ChildWorkflowError,
    WorkflowAlreadyStartedError,
    is_cancelled_exception,
)
from temporalio.workflow import ParentClosePolicy

from engine.contracts import (
    ATTRIBUTE_STATUS,
    ATTRIBUTE_TENANT,
    ATTRIBUTE_TRIGGER,
    ATTRIBUTE_WORKFLOW,
    AWAIT_CHILD,
    EXECUTION_WORKFLOW,
    LAUNCHER_WORKFLOW,
    OPEN_SCHEDULED,
    WITHDRAW_SCHEDULED,
    AwaitReply,
    AwaitRequest,
    ExecutionInput,
    LaunchReply,
    LaunchRequest,
    OpenScheduled,
    temporal_id,
)
from engine.workflows import options

_DUE = SearchAttributeKey.for_datetime("TemporalScheduledStartTime")
_LABELS = (ATTRIBUTE_TENANT, ATTRIBUTE_WORKFLOW, ATTRIBUTE_TRIGGER, ATTRIBUTE_STATUS)


@workflow.defn(name=LAUNCHER_WORKFLOW)
class LauncherWorkflow:
    """One fire of a schedule."""

    @workflow.run
    async def run(self, request: LaunchRequest) -> dict[str, Any]:
        """Id and status of the execution. Raises: ApplicationError if nothing could be started."""
        reply = await self._open(request)
        if reply.input is None:
            error = reply.error or {}
            raise ApplicationError(
                str(error.get("message", "nothing was started")), error, type=str(error.get("code")), non_retryable=True
            )
        execution = ExecutionInput(**reply.input)
        child_id = temporal_id(request.tenant, execution.meta["execution_id"])
        status = await self._run(execution, child_id, reply)
        return {"execution_id": execution.meta["execution_id"], "status": status}

    async def _open(self, request: LaunchRequest) -> LaunchReply:
        due = workflow.info().typed_search_attributes.get(_DUE)
        scheduled_at = workflow.time() if due is None else due.timestamp()
        asked = OpenScheduled(asdict(request), scheduled_at, workflow.time())
        if workflow.patched("launcher-withdraws"):
            return await self._open_or_withdraw(asked)
        reply = await workflow.execute_activity(
            OPEN_SCHEDULED, asked, result_type=LaunchReply, **options.until_done(30)
        )
        return cast("LaunchReply", reply)

    async def _open_or_withdraw(self, asked: OpenScheduled) -> LaunchReply:
        """Open the row. Told to stop while it waits for a slot, do not leave it there to begin later."""
        try:
            reply = await workflow.execute_activity(
                OPEN_SCHEDULED,
                asked,
                result_type=LaunchReply,
                # What is being opened at this moment is opened, and its execution then told to stop like any other.
                cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
                **options.until_done(30),
            )
        except ActivityError as error:
            if is_cancelled_exception(error):
                await workflow.execute_activity(WITHDRAW_SCHEDULED, asked, **options.until_done(30))
            raise
        return cast("LaunchReply", reply)

    async def _run(self, execution: ExecutionInput, child_id: str, reply: LaunchReply) -> str:
        meta = execution.meta
        texts = (meta["tenant"], meta["workflow_name"], meta["trigger"], "running")
        labels = [
            SearchAttributePair(SearchAttributeKey.for_keyword(name), text)
            for name, text in zip(_LABELS, texts, strict=True)
        ]
        try:
            handle = await workflow.start_child_workflow(
                EXECUTION_WORKFLOW,
                execution,
                id=child_id,
                result_type=dict,
                # An execution that outlives its launcher is only asked to stop, so that it records its end.
                parent_close_policy=ParentClosePolicy.REQUEST_CANCEL,
                id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
                search_attributes=TypedSearchAttributes(labels),
                static_summary=str(meta["workflow_name"])[:200],
                priority=Priority(
                    priority_key=reply.priority, fairness_key=meta["tenant"], fairness_weight=reply.weight
                ),
            )
        except WorkflowAlreadyStartedError:
            return await self._await_other(meta, child_id)  # the relay was faster
        if _is_told_to_stop():
            handle.cancel()
        try:
            await handle
        except ChildWorkflowError:
            return "ended"  # how it ended stands on its record
        return "success"

    async def _await_other(self, meta: dict[str, Any], child_id: str) -> str:
        reply = await workflow.execute_activity(
            AWAIT_CHILD,
            AwaitRequest(meta, child_id),
            result_type=AwaitReply,
            **options.until_done(86_400 * 30, heartbeat=True),
        )
        return cast("AwaitReply", reply).status


def _is_told_to_stop() -> bool:
    """Whether the launcher was cancelled while it waited for something that came to its end all the same."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
