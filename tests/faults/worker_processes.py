"""Worker processes that can be killed: started as an operator starts them, and replaced when they die."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest
from temporalio.client import Client

from engine.settings import Settings
from structforge.devstack.application import child_environment
from structforge.devstack.process import Child, Command, log_tail, start

READY_TIMEOUT_S = 120
_KINDS = (TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW, TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY)


@dataclass(slots=True)
class WorkerProcesses:
    """`count` workers. A worker reports ready when Temporal has polls of it, for workflow and for activity tasks."""

    settings: Settings
    temporal: Client
    count: int = 2
    kills: list[float] = field(default_factory=list[float])  # when, in seconds since the epoch
    _workers: list[Child] = field(default_factory=list[Child])
    _children: list[psutil.Process] = field(default_factory=list[psutil.Process])

    async def __aenter__(self) -> WorkerProcesses:
        self._workers = [await self._start(number) for number in range(self.count)]
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await asyncio.gather(*(worker.stop(10) for worker in self._workers if not worker.ended))

    async def _start(self, number: int) -> Child:
        argv = [sys.executable, "-m", "structforge", "worker"]
        return await start(Command(f"worker-{number}", argv, self._log(number), child_environment(self.settings)))

    def _log(self, number: int) -> Path:
        return self.settings.data_dir / "logs" / f"worker-{number}.log"

    async def all_ready(self) -> None:
        """Return once every worker has reported ready. Raises: AssertionError if one has ended by itself."""
        async with asyncio.timeout(READY_TIMEOUT_S):
            while not await self._are_ready():  # noqa: ASYNC110  another process's state has no event to await
                await asyncio.sleep(0.05)

    async def _are_ready(self) -> bool:
        for number, worker in enumerate(self._workers):
            assert not worker.ended, f"a worker ended by itself:\n{log_tail(self._log(number), 40)}"
        wanted = {str(worker.pid) for worker in self._workers}
        for kind in _KINDS:
            request = DescribeTaskQueueRequest(
                namespace=self.settings.temporal.namespace,
                task_queue=TaskQueue(name=self.settings.worker.task_queue),
                task_queue_type=kind,
            )
            answer = await self.temporal.workflow_service.describe_task_queue(request)
            if not wanted <= {poller.identity.rpartition(":")[2] for poller in answer.pollers}:
                return False
        return True

    async def kill(self, number: int) -> None:
        """Kill -9 one worker, and start another in its place."""
        worker = self._workers[number]
        with contextlib.suppress(psutil.Error):
            self._children += psutil.Process(worker.pid).children(recursive=True)
        worker.process.kill()
        self.kills.append(time.time())
        code = await worker.wait()
        assert code == -9, f"the worker had ended before, with code {code}"
        self._workers[number] = await self._start(number)

    def orphans(self) -> list[psutil.Process]:
        """Processes that a killed worker had started and that still run."""
        return [child for child in self._children if _runs(child)]

    def log_lines(self) -> list[str]:
        """What all workers have written so far."""
        logs = [self._log(number) for number in range(self.count)]
        return [line for log in logs if log.exists() for line in log.read_text("utf-8", "replace").splitlines()]


def _runs(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
