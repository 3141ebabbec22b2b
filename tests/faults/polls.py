"""Who takes tasks, as Temporal knows it."""

from __future__ import annotations

from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest
from temporalio.client import Client

_KINDS = (TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW, TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY)


async def pollers(temporal: Client, namespace: str, queue: str) -> set[str]:
    """Process ids, as texts, of the workers that poll a task queue for workflow and for activity tasks.

    Raises: temporalio.service.RPCError if Temporal is away.
    """
    found: list[set[str]] = []
    for kind in _KINDS:
        request = DescribeTaskQueueRequest(namespace=namespace, task_queue=TaskQueue(name=queue), task_queue_type=kind)
        answer = await temporal.workflow_service.describe_task_queue(request)
        found.append({poller.identity.rpartition(":")[2] for poller in answer.pollers})
    return set.intersection(*found)
