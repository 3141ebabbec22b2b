"""Opening what is due: the row of the execution that a schedule starts, once for each fire."""

from __future__ import annotations

import time
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from temporalio.service import RPCError

from engine.activities.children import ChildQueued
from engine.activities.launching import translated_rpc_faults
from engine.activities.runtime import Runtime
from engine.activities.startable import version_to_start
from engine.activities.starting import CompiledVersion, execution_input
from engine.contracts import LaunchReply, LaunchRequest, OpenScheduled, temporal_id
from engine.dag.inputs import check_input
from engine.dag.outcome import error_dict
from engine.dag.plan import PlanNode
from engine.errors import INVALID_CONFIG, Conflict, NotFound, StructForgeError, SystemFault, ValidationFailed
from engine.nodes.trigger.timer import TimerParams, timer_data
from engine.telemetry import metrics
from models.ids import id_of_fire
from models.repositories.executions import QUEUED, Executions, NewExecution
from models.repositories.workflows import Workflows
from models.rows import TERMINAL_EXECUTION_STATUSES
from models.tenancy import TenantId, mint_tenant


async def open_scheduled(runtime: Runtime, asked: OpenScheduled) -> LaunchReply:
    """Make the execution's row, or find the one that this fire has made before, and give its input.

    Raises: ChildQueued while it waits for a slot; SystemFault if PostgreSQL or the object store does not answer.
    """
    request = LaunchRequest(**asked.request)
    tenant = mint_tenant(request.tenant)
    try:
        new = await _new_execution(runtime, tenant, request, asked)
        created = await Executions(runtime.database).create_execution(tenant, new)
        if created.is_new:
            metrics.SCHEDULE_DRIFT.observe(max(0.0, time.time() - asked.scheduled_at))
        if created.execution.reason == QUEUED:
            raise ChildQueued(f"execution {new.id} waits for a slot of workflow {new.workflow_name!r}")
        made = await execution_input(runtime.database, runtime.versions, tenant, created.execution.id)
    except ValidationFailed as error:
        details: dict[str, Any] = {"issues": [issue.as_dict() for issue in error.issues]}
        return LaunchReply(error=error_dict(INVALID_CONFIG, "the schedule's input is not valid", details))
    except SystemFault:
        raise
    except StructForgeError as error:
        return LaunchReply(error=_refusal(error))
    weight = runtime.fairness.weight_of(request.tenant)
    return LaunchReply(input=asdict(made), priority=created.execution.priority, weight=weight)


async def withdraw_scheduled(runtime: Runtime, asked: OpenScheduled) -> None:
    """End the execution of a fire whose launcher was cancelled before it could start it.

    One that waits for a slot is cancelled in its row. One that got its slot meanwhile is the relay's to start: it is
    asked to stop as soon as it runs.
    Raises: SystemFault until then, so that it is tried again.
    """
    request = LaunchRequest(**asked.request)
    tenant, due = mint_tenant(request.tenant), datetime.fromtimestamp(asked.scheduled_at, UTC)
    execution_id, rows = id_of_fire(due, request.schedule_id), Executions(runtime.database)
    if await rows.cancel_queued(tenant, execution_id):
        return
    try:
        execution = await rows.get(tenant, execution_id)
    except NotFound:
        return  # nothing was opened
    if execution.status in TERMINAL_EXECUTION_STATUSES:
        return
    try:
        with translated_rpc_faults():
            await runtime.temporal.get_workflow_handle(temporal_id(str(tenant), str(execution_id))).cancel()
    except RPCError as error:
        raise SystemFault(f"execution {execution_id} is not started yet: {error.message}") from None


def _refusal(error: StructForgeError) -> dict[str, Any]:
    return error_dict(error.code, error.message, error.details)


async def _new_execution(
    runtime: Runtime, tenant: TenantId, request: LaunchRequest, asked: OpenScheduled
) -> NewExecution:
    workflow = await Workflows(runtime.database).get(tenant, UUID(request.workflow_id))
    version = await runtime.versions.get_number(tenant, workflow.id, version_to_start(workflow))
    trigger = _trigger_of(version, request.trigger_node)
    scheduled_at = datetime.fromtimestamp(asked.scheduled_at, UTC)
    given = {} if request.input is None else await runtime.values.load(tenant, request.input)
    if trigger is not None and trigger.type == "timer":
        fired_at = datetime.fromtimestamp(asked.fired_at, UTC)
        given = timer_data(_timer(version, trigger, given), scheduled_at, fired_at)
    data = check_input(version.spec, given)
    return NewExecution(
        id=id_of_fire(scheduled_at, request.schedule_id),
        workflow_id=workflow.id,
        version_id=version.id,
        workflow_name=version.workflow_name,
        input=await runtime.values.store(tenant, data, runtime.inline_limit),
        trigger="schedule",
        trigger_node=None if trigger is None else trigger.path,
        node_total=len(version.plan.nodes),
        priority=version.spec.settings.priority,
        labels={"schedule": request.schedule_name},
        started_by=request.started_by,
    )


def _trigger_of(version: CompiledVersion, name: str | None) -> PlanNode | None:
    """The named trigger; without a name the manual one, or the only one. Raises: Conflict."""
    triggers = version.plan.triggers()
    if name is not None:
        found = [node for node in triggers if node.id == name]
        if not found:
            raise Conflict(f"the published version has no trigger {name!r}", code="NOT_PUBLISHED")
        return found[0]
    manual = [node for node in triggers if node.type == "manual"]
    if len(triggers) > 1 and len(manual) != 1:
        raise Conflict("the published version has several triggers: let the schedule name one", code="NOT_PUBLISHED")
    return (manual or triggers or [None])[0]


def _timer(version: CompiledVersion, trigger: PlanNode, given: Any) -> TimerParams:
    """The timer's parameters as they stand now, with the schedule's own input over theirs."""
    params = TimerParams.model_validate(next(node.params for node in version.spec.nodes if node.id == trigger.id))
    return params.model_copy(update={"input": {**params.input, **(given if isinstance(given, dict) else {})}})
