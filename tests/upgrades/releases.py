"""An earlier release of the code, its workers as processes of their own, and a server that drains fast."""

from __future__ import annotations

import contextlib
import re
import shutil
import sys
from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest
from temporalio.client import WorkflowHistory

import worker
from engine.activities.clients.deployments import builds_of
from engine.settings import Settings
from structforge.devstack.application import child_environment
from structforge.devstack.binaries import find_temporal
from structforge.devstack.process import Child, Command, log_tail, start
from structforge.devstack.server import SupervisedServer
from structforge.devstack.temporal import TemporalServer
from tests.engine.workflows.effects import Effects
from tests.engine.workflows.lab import Lab, Stack, open_folder
from tests.models.server import free_port

ROOT = Path(__file__).parents[2]
CODE = ("engine", "models", "structforge", "api", "worker.py", "scheduler_sync.py")
DEPLOYMENT, OLD, NEW, PINNED = "fleet", "A", "B", "C"
STOP_S = 40


class Draining(TemporalServer):
    """Looks each second whether a build has drained, not each three minutes, and suggests continue-as-new early."""

    async def prepare(self) -> Command:
        command = await super().prepare()
        values = {
            "matching.wv.VersionDrainageStatusVisibilityGracePeriod": '"1s"',
            "matching.wv.VersionDrainageStatusRefreshInterval": '"1s"',
            "limit.historyCount.suggestContinueAsNew": "60",
        }
        more = [part for name, value in values.items() for part in ("--dynamic-config-value", f"{name}={value}")]
        return Command(name="temporal-draining", argv=[*command.argv, *more], log=command.log)


def release(folder: Path, file: str, change: Callable[[str], str]) -> Path:
    """A copy of the code whose `file`, or files of that pattern, are changed; the folder it stands in."""
    folder.mkdir()
    for name in CODE:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder / name)
    changed = 0
    for path in folder.glob(file):
        text = path.read_text("utf-8")
        changed += (new := change(text)) != text
        path.write_text(new, "utf-8")
    assert changed, f"nothing to change in {file}"
    return folder


def other_activity_ids(text: str) -> str:
    """An interpreter whose histories do not replay on this one, nor those of this one on it."""
    return text.replace('return f"{node.path}{place}', 'return f"old.{node.path}{place}')


def without_patches(text: str) -> str:
    """An interpreter from before every patch marker."""
    return re.sub(r"workflow\.patched\([^)]*\)", "False", text)


@dataclass(slots=True)
class Fleet:
    """A lab without a worker in this process, and workers of releases beside it."""

    lab: Lab
    settings: Settings
    _workers: dict[str, Child] = field(default_factory=dict[str, Child])

    def settings_of(self, build: str, *, pinned: bool) -> Settings:
        named = {"deployment_name": DEPLOYMENT if pinned else None, "build_id": build}
        return self.settings.override({"worker": named})

    def environment(self, build: str, code: Path, *, pinned: bool) -> Mapping[str, str]:
        """Of a process that runs this code and no other, as an operator sets it."""
        own = {"PYTHONPATH": str(code), "PYTHONSAFEPATH": "1"}
        return child_environment(self.settings_of(build, pinned=pinned)) | own

    async def start(self, build: str, code: Path = ROOT, *, pinned: bool) -> None:
        """A worker of a build; returns when Temporal has its polls."""
        log = self.settings.data_dir / "logs" / f"worker-{build}-{free_port()}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        argv = [sys.executable, "-m", "structforge", "worker"]
        child = await start(Command(f"worker-{build}", argv, log, self.environment(build, code, pinned=pinned)))
        self._workers[build] = child

        async def polls() -> bool:
            assert not child.ended, log_tail(log, 40)
            return f":{child.pid}" in await self._pollers()

        await self.lab.eventually(polls, timeout_s=120)
        if pinned:
            await self.lab.eventually(lambda: self.has_status(build, "inactive", "current"), timeout_s=60)

    async def _pollers(self) -> str:
        queue = TaskQueue(name=self.settings.worker.task_queue)
        kind = TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW
        client = self.lab.stack.runtime.temporal
        request = DescribeTaskQueueRequest(namespace=client.namespace, task_queue=queue, task_queue_type=kind)
        answer = await client.workflow_service.describe_task_queue(request)
        return " ".join(one.identity for one in answer.pollers)

    async def has_status(self, build: str, *statuses: str) -> bool:
        builds = await builds_of(self.lab.stack.runtime.temporal, DEPLOYMENT)
        return any(one.build_id == build and one.status in statuses for one in builds)

    async def stop(self, build: str) -> int:
        """Tell a worker to end, as a rolling deployment does; its exit code."""
        child = self._workers.pop(build)
        await child.stop(STOP_S)
        return await child.wait()

    async def stop_all(self) -> None:
        for build in list(self._workers):
            await self.stop(build)


@contextlib.asynccontextmanager
async def open_fleet(settings: Settings, effects: Effects) -> AsyncGenerator[Fleet]:
    """The PostgreSQL and Valkey of other tests with a Temporal server of its own, and no worker yet."""
    with open_folder() as data_dir:
        (data_dir / "logs").mkdir(parents=True)
        ports = [free_port() for _ in range(4)]
        server = Draining(
            data_dir, find_temporal(), settings.temporal.namespace,
            port=ports[0], ui_port=ports[1], http_port=ports[2], metrics_port=ports[3],
        )  # fmt: skip
        supervised = SupervisedServer(server, 180, lambda: None)
        await supervised.start()
        try:
            own = settings.override(
                {
                    "temporal": {"address": server.address},
                    "worker": {"graceful_shutdown_s": 20, "evaluator_processes": 1},
                }
            )
            async with worker.open_runtime(own) as runtime:
                fleet = Fleet(await Lab.open(Stack(own, runtime, effects)), own)
                try:
                    yield fleet
                finally:
                    await fleet.stop_all()
        finally:
            await supervised.stop(2.5)


def builds_in(history: WorkflowHistory) -> set[str]:
    """The builds of the workers that completed the workflow tasks of a history."""
    attributes = [event.workflow_task_completed_event_attributes for event in history.events]
    found = {one.deployment_version.build_id or one.worker_version.build_id for one in attributes}
    return found - {""}


def activity_ids(history: WorkflowHistory) -> list[str]:
    scheduled = [event.activity_task_scheduled_event_attributes for event in history.events]
    return [one.activity_id for one in scheduled if one.activity_type.name == "execute_node"]
