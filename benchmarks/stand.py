"""The test stand: one set of embedded servers, one worker of each side, and the clients that start executions."""

from __future__ import annotations

import contextlib
import shutil
import signal
import sys
import tempfile
from collections.abc import AsyncGenerator, Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from temporalio.client import Client

from engine.activities.clients.objects import ObjectStore, Values
from engine.activities.clients.temporal import connect, protection_of
from engine.activities.starting import Versions
from engine.expressions import AstReferenceParser
from engine.nodes.registry import catalogue_of
from engine.settings import Settings, load_settings
from models.ids import new_id
from models.repositories.tenants import Tenants
from models.session import Database
from models.tenancy import TenantId, mint_tenant
from structforge.devstack.application import child_environment
from structforge.devstack.process import Child, Command, start
from structforge.devstack.unprivileged import HOME_NOTE
from structforge.up import running_servers

PORTS = ("temporal_port", "temporal_ui_port", "temporal_http_port", "temporal_metrics_port", "postgres_port")
WORKER = ("-m", "worker")  # arguments of Python for a StructForge worker
STOP_DEADLINE_S = 10.0
DEFAULTS: dict[str, Any] = {"api": {"port": 0}, "plugins": {"folder": Path(__file__).parent / "plugins"}}


@dataclass(frozen=True, slots=True)
class Stand:
    """`temporal` speaks as StructForge does, `plain_temporal` as any client; `workers` are processes by name."""

    settings: Settings
    database: Database
    versions: Versions
    values: Values
    temporal: Client
    plain_temporal: Client
    tenant: TenantId
    workers: dict[str, int]

    def cpu_seconds(self) -> dict[str, float]:
        """Processor time used so far by this process, each worker and each server, with their children."""
        used = {"client": _cpu(psutil.Process())}
        names = {pid: name for name, pid in self.workers.items()}
        for child in psutil.Process().children():
            with contextlib.suppress(psutil.Error):
                name = names.get(child.pid, child.name())
                used[name] = sum(_cpu(one) for one in (child, *child.children(recursive=True)))
        return used

    def total_cpu_s(self) -> float:
        return sum(self.cpu_seconds().values())

    def worker_mb(self) -> dict[str, float]:
        """Resident memory of each worker in megabytes, without its children."""
        return {name: psutil.Process(pid).memory_info().rss / 1e6 for name, pid in self.workers.items()}


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


@contextlib.asynccontextmanager
async def open_stand(
    worker_argv: Sequence[str],
    *,
    wfformat: Path | None = None,
    handwritten: bool = True,
    overrides: Mapping[str, Any] | None = None,
) -> AsyncGenerator[Stand]:
    """Servers and workers in a folder of their own, all gone afterwards. `worker_argv` are arguments of Python,
    `overrides` more settings."""
    with scratch_folder() as folder:
        ports = {**dict.fromkeys(PORTS, 0), "redis_port": 0}
        settings = load_settings(data_dir=folder / "data", embedded=ports, **{**DEFAULTS, **(overrides or {})})
        async with running_servers(settings) as endpoints, contextlib.AsyncExitStack() as stack:
            settings = endpoints.settings
            commands = {"structforge": list(worker_argv)}
            if handwritten:
                commands["handwritten"] = ["-m", "benchmarks.handwritten", *([str(wfformat)] if wfformat else [])]
            workers: dict[str, int] = {}
            for name, argv in commands.items():
                child = await start_process(name, argv, settings)
                stack.push_async_callback(child.stop, STOP_DEADLINE_S)
                workers[name] = child.pid
            yield await _connect(settings, stack, workers)


async def _connect(settings: Settings, stack: contextlib.AsyncExitStack, workers: dict[str, int]) -> Stand:
    assert settings.database.url is not None
    assert settings.temporal.address is not None
    database = await Database.open(settings.database.url.get_secret_value(), pool_size=settings.database.pool_size)
    stack.push_async_callback(database.close)
    tenant = mint_tenant(new_id())
    await Tenants(database).ensure(tenant, "benchmarks")
    objects = ObjectStore.open(settings.objects_url)
    address, namespace = settings.temporal.address, settings.temporal.namespace
    return Stand(
        settings=settings,
        database=database,
        versions=Versions(database, catalogue_of(settings), AstReferenceParser()),
        values=Values(objects),
        temporal=await connect(address, namespace, objects, protection_of(settings)),
        plain_temporal=await Client.connect(address, namespace=namespace),
        tenant=tenant,
        workers=workers,
    )


async def start_process(name: str, argv: list[str], settings: Settings) -> Child:
    """A Python process beside the servers, which ends with this one."""
    log = settings.data_dir / "logs" / f"{name}.log"
    command = Command(
        name,
        [sys.executable, *argv],
        log,
        child_environment(settings),
        # Without this process there is no server either, and a worker would wait long for one.
        death_signal=signal.SIGKILL,
    )
    return await start(command)


@contextlib.contextmanager
def scratch_folder() -> Generator[Path]:
    """A folder for servers, gone afterwards."""
    base = Path(tempfile.mkdtemp(prefix="structforge-bench-"))
    base.chmod(0o711)  # PostgreSQL is not run as root, and must be able to pass through
    try:
        yield base
    finally:
        for note in base.rglob(HOME_NOTE):
            shutil.rmtree(note.read_text().strip(), ignore_errors=True)
        shutil.rmtree(base, ignore_errors=True)
