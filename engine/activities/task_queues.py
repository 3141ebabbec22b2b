"""What Temporal itself tells of task queues: who polls them, and what waits in them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import PollerInfo, TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest

from engine.activities.launching import TemporalLink, translated_rpc_faults
from engine.nodes.registry import Catalogue
from engine.settings.work import WorkerSettings

RPC_TIMEOUT = timedelta(seconds=5)
Kind = Literal["workflow", "activity"]
KINDS: dict[Kind, TaskQueueType.ValueType] = {
    "workflow": TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW,
    "activity": TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY,
}


@dataclass(frozen=True, slots=True)
class Poller:
    """A worker that asked for work. Temporal remembers it for five minutes."""

    identity: str
    last_seen_at: datetime
    build_id: str | None


@dataclass(frozen=True, slots=True)
class Side:
    """One kind of tasks of a queue; rates are those of the last seconds, and all numbers are estimates."""

    backlog: int
    backlog_age_s: float
    added_per_s: float
    taken_per_s: float
    pollers: list[Poller]


class TaskQueues:
    """Asks the Temporal frontend."""

    def __init__(self, temporal: TemporalLink, namespace: str) -> None:
        self._temporal = temporal
        self._namespace = namespace

    async def describe(self, queues: Sequence[str]) -> dict[str, dict[Kind, Side]]:
        """Both sides of each queue, in the order given. Raises: SystemFault."""
        sides = await asyncio.gather(*(self._both_sides(queue) for queue in queues))
        return dict(zip(queues, sides, strict=True))

    async def _both_sides(self, queue: str) -> dict[Kind, Side]:
        workflow, activity = await asyncio.gather(self._describe(queue, "workflow"), self._describe(queue, "activity"))
        return {"workflow": workflow, "activity": activity}

    async def _describe(self, queue: str, kind: Kind) -> Side:
        client = await self._temporal.client()
        request = DescribeTaskQueueRequest(
            namespace=self._namespace, task_queue=TaskQueue(name=queue), task_queue_type=KINDS[kind], report_stats=True
        )
        with translated_rpc_faults():
            answer = await client.workflow_service.describe_task_queue(request, timeout=RPC_TIMEOUT)
        stats = answer.stats
        return Side(
            backlog=stats.approximate_backlog_count,
            backlog_age_s=stats.approximate_backlog_age.ToNanoseconds() / 1e9,
            added_per_s=stats.tasks_add_rate,
            taken_per_s=stats.tasks_dispatch_rate,
            pollers=[_poller(one) for one in answer.pollers],
        )


def _poller(info: PollerInfo) -> Poller:
    seen = info.last_access_time.ToDatetime(UTC)
    return Poller(info.identity, seen, info.deployment_options.build_id or None)


def queues_of(settings: WorkerSettings, catalogue: Catalogue) -> list[str]:
    """Every task queue that executions and nodes may stand in: that of executions first, the others by name."""
    routed = {item.task_queue for item in catalogue.types() if item.task_queue} | {*settings.routes.values()}
    return [settings.task_queue, *sorted(routed - {settings.task_queue})]
