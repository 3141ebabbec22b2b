"""Gauges over the whole installation, set by one scheduler: what is open in PostgreSQL, what waits in Temporal.

One process asks, however many there are; the others' gauges say nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest

from engine.activities.launching import TemporalLink, translated_rpc_faults
from engine.errors import SystemFault
from engine.telemetry import metrics
from models.repositories.leadership import lead
from models.repositories.totals import Totals
from models.session import Database

KIND = "metrics"
STANDBY_S = 5.0
RPC_TIMEOUT = timedelta(seconds=5)
STATUSES = ("pending", "queued", "running", "paused")
_KINDS = {"workflow": TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW, "activity": TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY}
_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Sampler:
    """Leads if nobody else does, and then samples each `every_s`. `queues` are the task queues of the settings."""

    database: Database
    temporal: TemporalLink
    namespace: str
    queues: Sequence[str]
    holder: str
    every_s: float

    async def run_forever(self) -> None:
        """Until cancelled. PostgreSQL or Temporal being away is waited out."""
        while True:
            try:
                async with lead(self.database, KIND, self.holder) as term:
                    if term is not None:
                        while True:
                            await term.check()
                            await self.sample()
                            await asyncio.sleep(self.every_s)
            except (SystemFault, TimeoutError) as fault:
                _log.warning("the installation's gauges stand still: %s", fault)
            finally:
                metrics.LEADER.labels(KIND).set(0)
            await asyncio.sleep(STANDBY_S)

    async def sample(self) -> None:
        """Set every gauge once. Raises: SystemFault."""
        metrics.LEADER.labels(KIND).set(1)
        found = await Totals(self.database).open()
        for status in STATUSES:
            metrics.EXECUTIONS_OPEN.labels(status).set(found.counts.get(status, 0))
        metrics.OLDEST_PENDING.set(found.oldest_pending_s)
        metrics.WORKFLOWS.clear()
        for status, count in found.workflows.items():
            metrics.WORKFLOWS.labels(status).set(count)
        metrics.WORKFLOWS_RUNNING.set(found.running_workflows)
        for queue in self.queues:
            for kind, number in _KINDS.items():
                await self._sample_queue(queue, kind, number)

    async def _sample_queue(self, queue: str, kind: str, number: TaskQueueType.ValueType) -> None:
        client = await self.temporal.client()
        request = DescribeTaskQueueRequest(
            namespace=self.namespace, task_queue=TaskQueue(name=queue), task_queue_type=number, report_stats=True
        )
        with translated_rpc_faults():
            answer = await client.workflow_service.describe_task_queue(request, timeout=RPC_TIMEOUT)
        metrics.BACKLOG.labels(queue, kind).set(answer.stats.approximate_backlog_count)
        metrics.BACKLOG_AGE.labels(queue, kind).set(answer.stats.approximate_backlog_age.ToNanoseconds() / 1e9)
        metrics.POLLERS.labels(queue, kind).set(len(answer.pollers))
