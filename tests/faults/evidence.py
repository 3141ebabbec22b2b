"""Evidence of a fault run: what PostgreSQL, Temporal and the effect server each say of the same executions."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from temporalio.api.enums.v1 import EventType
from temporalio.client import Client, WorkflowExecutionStatus

from engine.contracts import EXECUTE_NODE, idempotency_key, temporal_id
from engine.dag.values import read
from models.repositories.executions import Executions
from models.repositories.node_executions import NodeExecutions
from models.rows import NodeRow
from models.session import Database
from models.tables import Execution
from models.tenancy import TenantId
from tests.faults.effects import Call

AT_ONCE = 8  # histories that are fetched together


@dataclass(slots=True)
class Acknowledgement:
    """A node activity in Temporal's history. Times are seconds since the epoch; `completed_at` None: never."""

    key: str
    scheduled_at: float
    tries: int = 1  # as the server counts them, lost workers included
    completed_at: float | None = None


@dataclass(slots=True)
class History:
    """What Temporal says of one execution."""

    status: str
    nodes: list[Acknowledgement] = field(default_factory=list[Acknowledgement])
    events: int = 0
    lost_workflow_tasks: int = 0
    failed_workflow_tasks: int = 0
    longest_silence_s: float = 0.0


@dataclass(slots=True)
class Witnessed:
    """One execution as PostgreSQL and Temporal have it; `output` is data."""

    execution: Execution
    n: int
    output: Any
    rows: list[NodeRow]
    history: History


@dataclass(slots=True)
class Evidence:
    """Everything there is to say after a run. `closings` are the executions named by outbox messages of an end."""

    witnessed: list[Witnessed]
    calls: list[Call]
    closings: list[str]
    held_quota: int
    open_in_temporal: int


async def gather(
    database: Database, temporal: Client, tenant: TenantId, started: dict[UUID, int], calls: list[Call]
) -> Evidence:
    """Collect the evidence of the executions in `started`, which maps each to its input `n`."""
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(execution_id: UUID, n: int) -> Witnessed:
        async with gate:
            execution = await Executions(database).get(tenant, execution_id)
            rows = await NodeExecutions(database).list(tenant, execution_id)
            history = await history_of(temporal, temporal_id(str(tenant), str(execution_id)))
            output = None if execution.output is None else read(execution.output)
            return Witnessed(execution, n, output, rows, history)

    witnessed = await asyncio.gather(*(one(execution_id, n) for execution_id, n in started.items()))
    async with database.transaction(tenant) as transaction:
        closings = await transaction.fetch(
            "SELECT payload->>'execution_id' FROM outbox WHERE tenant_id = $1 AND kind = 'execution.finished'",
            tenant.uuid,
        )
        held = await transaction.fetchval("SELECT sum(value) FROM quota_counter WHERE tenant_id = $1", tenant.uuid)
    running = sum([1 async for _ in temporal.list_workflows("ExecutionStatus = 'Running'")])
    return Evidence(list(witnessed), calls, [row[0] for row in closings], int(held or 0), running)


async def history_of(temporal: Client, workflow_id: str) -> History:
    """Read the history of a Temporal workflow."""
    handle = temporal.get_workflow_handle(workflow_id)
    description = await handle.describe()
    status = description.status or WorkflowExecutionStatus.RUNNING
    history = History(status.name.lower())
    nodes: dict[int, Acknowledgement] = {}
    last = 0.0
    async for event in handle.fetch_history_events():
        at = event.event_time.ToNanoseconds() / 1e9
        history.longest_silence_s = max(history.longest_silence_s, at - last if last else 0.0)
        last = at
        history.events += 1
        history.lost_workflow_tasks += event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_TIMED_OUT
        history.failed_workflow_tasks += event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED
        _take_node(nodes, event, at)
    history.nodes = list(nodes.values())
    return history


def _take_node(nodes: dict[int, Acknowledgement], event: Any, at: float) -> None:
    if event.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED:
        scheduled = event.activity_task_scheduled_event_attributes
        if scheduled.activity_type.name == EXECUTE_NODE:
            nodes[event.event_id] = Acknowledgement(_key_of(json.loads(scheduled.input.payloads[0].data)), at)
    elif event.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_STARTED:
        begun = event.activity_task_started_event_attributes
        if begun.scheduled_event_id in nodes:
            nodes[begun.scheduled_event_id].tries = begun.attempt
    elif event.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_COMPLETED:
        completed = event.activity_task_completed_event_attributes
        if completed.scheduled_event_id in nodes:
            nodes[completed.scheduled_event_id].completed_at = at


def _key_of(request: dict[str, Any]) -> str:
    return idempotency_key(
        request["meta"]["execution_id"], request["path"], request["iteration"], request["generation"]
    )
