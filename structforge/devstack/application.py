"""StructForge's own processes beside the embedded servers: worker, API and scheduler, kept running like them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import httpx2

import structforge
from engine.activities.clients.tls import context_for_own_api
from engine.nodes.plugins.discovery import sources_in
from engine.nodes.plugins.refreshing import describe_changed
from engine.settings import ENV_PREFIX, Settings
from models.migrations import upgrade
from structforge.devstack import folder
from structforge.devstack.polling import Polling
from structforge.devstack.ports import LOOPBACK, PortRequest
from structforge.devstack.process import Command
from structforge.devstack.server import SupervisedServer
from structforge.devstack.stack import EmbeddedStack, Endpoints

# Together with the servers' deadline this stays under the 5 s in which everything must be gone.
STOP_DEADLINE_S = 1.8


class Application:
    """`structforge ROLE` as a supervised process.

    Ready when `ready_url` answers 200, or a worker of ours is `polling`; at once without either.
    """

    def __init__(
        self,
        name: str,
        role: str,
        settings: Settings,
        ready_url: str | None = None,
        *,
        options: Sequence[str] = (),
        polling: Polling | None = None,
    ) -> None:
        self.name = name
        self._role = role
        self._options = options
        self._settings = settings
        self._ready_url = ready_url
        self._polling = polling

    async def prepare(self) -> Command:
        return Command(
            name=self.name,
            argv=[sys.executable, "-m", "structforge", self._role, *self._options],
            log=self._settings.data_dir / "logs" / f"{self.name}.log",
            environment=child_environment(self._settings),
            # Their servers die in the same moment, so nothing is left that an orderly end could still write to.
            death_signal=signal.SIGKILL,
        )

    async def is_ready(self) -> bool:
        if self._polling is not None:
            return await self._polling.has_own_worker()
        if self._ready_url is None:
            return True
        api = self._settings.api
        if api.tls_client_ca is not None:  # this process has no certificate that the API would let in
            return await _accepts(api.port)
        async with httpx2.AsyncClient(timeout=2, trust_env=False, verify=context_for_own_api(api) or True) as client:
            try:
                return (await client.get(self._ready_url)).status_code == 200
            except httpx2.HTTPError:
                return False


async def _accepts(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection(LOOPBACK, port)
    except OSError:
        return False
    writer.close()
    return True


@contextlib.asynccontextmanager
async def running_servers(settings: Settings) -> AsyncGenerator[Endpoints]:
    """The servers with a migrated database, and no process of StructForge's own: for tests and tools.

    Raises: ConfigurationError as EmbeddedStack does.
    """
    async with EmbeddedStack(settings) as endpoints:
        await _migrate(endpoints)
        yield endpoints


@contextlib.asynccontextmanager
async def running_stack(settings: Settings) -> AsyncGenerator[Endpoints]:
    """Servers, migrated database, scheduler, workers that take work and an API that answers `/readyz`.

    All are gone afterwards. `api_url` and `api_key` of the endpoints are set. Other commands find it by
    `folder.find_running`.
    Raises: ConfigurationError as EmbeddedStack does, or with the end of the log of a process that does not start.
    """
    async with EmbeddedStack(settings, ports=[PortRequest("api", "port")]) as servers:
        await _migrate(servers)
        await describe_changed(servers.settings.plugins_folder)
        endpoints = _with_api(servers)
        processes = [SupervisedServer(item, settings.embedded.start_timeout_s, _no_note) for item in _roles(endpoints)]
        try:
            await _start_all(processes)
            _announce(endpoints)
            yield endpoints
        finally:
            await asyncio.gather(*(process.stop(STOP_DEADLINE_S) for process in processes))


def child_environment(settings: Settings) -> dict[str, str]:
    """This process's environment with exactly `settings` in it, and StructForge importable."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.upper().startswith(ENV_PREFIX) and name != "TEMPORAL_ADDRESS"
    }
    return inherited | settings.as_environment() | _import_path(inherited)


def _import_path(environment: Mapping[str, str]) -> dict[str, str]:
    root = Path(structforge.__file__).parent.parent
    if not (root / "pyproject.toml").exists():
        return {}
    # Run from a checkout: the children must find the same one, whatever their working directory.
    known = environment.get("PYTHONPATH")
    return {"PYTHONPATH": f"{root}{os.pathsep}{known}" if known else str(root)}


async def _migrate(endpoints: Endpoints) -> None:
    await upgrade(endpoints.owner_url)


def _with_api(servers: Endpoints) -> Endpoints:
    given = servers.settings.api.key
    key = given.get_secret_value() if given else folder.load_api_key(servers.settings.data_dir)
    settings = servers.settings.override({"api": {"key": key}})
    return replace(servers, settings=settings, api_url=settings.api.url, api_key=key)


def _roles(endpoints: Endpoints) -> list[Application]:
    # The owner's password is for migrations; no serving process needs it.
    # One port of health cannot be shared, and these processes are watched by other means.
    served = endpoints.settings.override({"database": {"owner_url": None}, "health": {"port": None}})
    keyless = served.override(
        {
            "api": {"key": None},
            "worker": {
                "processes": 1,
                "graceful_shutdown_s": min(served.worker.graceful_shutdown_s, STOP_DEADLINE_S - 0.8),
            },
        }
    )
    count = endpoints.settings.worker.processes
    executions = Polling(keyless, keyless.worker.task_queue, executions=True)
    names = ["worker"] if count == 1 else [f"worker-{number}" for number in range(1, count + 1)]
    return [
        Application("api", "api", served, f"{served.api.url}/readyz"),
        *(
            Application(name, "worker", _showing(keyless, 2 + number), polling=executions)
            for number, name in enumerate(names)
        ),
        Application("scheduler", "scheduler", _showing(keyless, 1)),
        *(_queue_worker(_showing(keyless, 2 + count + number), queue) for number, queue in enumerate(_queues(keyless))),
    ]


def _showing(settings: Settings, number: int) -> Settings:
    """The settings of the process that shows its metrics `number` ports behind the API's."""
    first = settings.metrics.port
    return settings.override({"metrics": {"port": first + number}}) if first else settings


def _queue_worker(settings: Settings, queue: str) -> Application:
    polling = Polling(settings, queue, executions=False)
    return Application(f"worker-{queue}", "worker", settings, options=["--queues", queue], polling=polling)


def _queues(settings: Settings) -> list[str]:
    """Task queues of nodes that routes and plugins name: each gets a worker process of its own."""
    own = {settings.worker.task_queue, None}
    plugins = {source.manifest.task_queue for source in sources_in(settings.plugins_folder)}
    return sorted(queue for queue in {*settings.worker.routes.values(), *plugins} - own if queue is not None)


async def _start_all(processes: list[SupervisedServer]) -> None:
    try:
        async with asyncio.TaskGroup() as group:
            for process in processes:
                group.create_task(process.start())
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from None


def _announce(endpoints: Endpoints) -> None:
    note = folder.RunningServer(
        pid=os.getpid(),
        api_url=endpoints.api_url,
        temporal_ui_url=endpoints.temporal_ui_url,
        temporal_address=endpoints.temporal_address,
        database_url=endpoints.database_url,
        redis_url=endpoints.redis_url,
    )
    folder.announce(endpoints.settings.data_dir, note)


def _no_note() -> None:
    """The processes end by SIGKILL with this one and hold no files open, so the next start need not wait for them."""
