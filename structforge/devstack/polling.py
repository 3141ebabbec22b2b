"""Whether a worker process of ours has begun to take work: Temporal knows who polls a task queue."""

from __future__ import annotations

import os
import socket

import psutil
from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest
from temporalio.client import Client
from temporalio.service import RPCError

from engine.activities.clients.objects import ObjectStore
from engine.activities.clients.temporal import connect, protection_of
from engine.errors import SystemFault
from engine.settings import Settings


class Polling:
    """Who polls one task queue. `executions` asks for those who run executions, and not nodes alone."""

    def __init__(self, settings: Settings, queue: str, *, executions: bool) -> None:
        self._settings = settings
        self._queue = TaskQueue(name=queue)
        self._kind = TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW if executions else TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY
        self._client: Client | None = None

    async def has_own_worker(self) -> bool:
        """Whether a child of this process polls; a task queue remembers others for minutes after their end."""
        temporal = self._settings.temporal
        request = DescribeTaskQueueRequest(
            namespace=temporal.namespace, task_queue=self._queue, task_queue_type=self._kind
        )
        try:
            if self._client is None:
                objects = ObjectStore.of(self._settings)
                self._client = await connect(
                    temporal.address or "", temporal.namespace, objects, protection_of(self._settings)
                )
            answer = await self._client.workflow_service.describe_task_queue(request)
        except (SystemFault, RPCError):
            return False
        return any(_is_own(poller.identity) for poller in answer.pollers)


def _is_own(identity: str) -> bool:
    """Workers are called `host:pid`."""
    host, _, pid = identity.rpartition(":")
    if host != socket.gethostname() or not pid.isdigit():
        return False
    try:
        return psutil.Process(int(pid)).ppid() == os.getpid()
    except psutil.Error:
        return False
