"""A whole installation of real processes: servers, API, workers and schedulers, each of which can be hit by a signal.

What dies is started again: servers by the embedded stack, our own processes at once, as an operator's supervisor does.
The API reaches Temporal through a gate (`tests.faults.gate`).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx2
from temporalio.client import Client
from temporalio.service import RPCError

from engine.activities.clients.objects import ObjectStore
from engine.activities.clients.temporal import connect, protection_of
from engine.errors import StructForgeError
from engine.nodes.plugins.refreshing import describe_changed
from engine.settings import Settings
from models.migrations import upgrade
from models.repositories.api_keys import ApiKeys
from models.repositories.quotas import Quotas
from models.repositories.tenants import Tenants
from models.session import Database
from models.tenancy import TenantId, mint_tenant
from structforge.devstack.application import Application
from structforge.devstack.folder import load_api_key
from structforge.devstack.polling import Polling
from structforge.devstack.ports import PortRequest
from structforge.devstack.stack import EmbeddedStack, Endpoints
from tests.faults.effects import EffectServer, running_effects
from tests.faults.gate import Gate, running_gate
from tests.faults.kept import Kept
from tests.faults.polls import pollers
from tests.structforge.devstack.conftest import settings_for

READY_S = 120
SERVERS = ("postgres", "valkey", "temporal")
CREDENTIAL = "canary"


@dataclass(slots=True)
class Tenancy:
    """A tenant of the installation, seen from its caller."""

    tenant: TenantId
    client: httpx2.AsyncClient

    async def publish(self, document: dict[str, Any]) -> UUID:
        """Save and publish a workflow; gives its id."""
        answer = await self.client.post("/workflows", json={"document": document})
        assert answer.status_code == 201, answer.text
        return UUID(answer.json()["id"])


@dataclass(slots=True)
class Installation:
    """`canary` is the secret of each tenant's credential `canary`; nothing that is kept may hold it."""

    settings: Settings
    stack: EmbeddedStack
    gate: Gate
    effects: EffectServer
    database: Database
    temporal: Client
    processes: dict[str, Kept]
    canary: str = field(default_factory=lambda: f"canary-{uuid4().hex}")
    tenancies: list[Tenancy] = field(default_factory=list["Tenancy"])

    @property
    def data_dir(self) -> Path:
        return self.settings.data_dir

    @property
    def workers(self) -> list[str]:
        return [name for name in self.processes if name.startswith("worker-")]

    def pid(self, name: str) -> int | None:
        """The process behind a name now, None while there is none."""
        return self.stack.pids.get(name) if name in SERVERS else self.processes[name].pid

    def hit(self, name: str, number: signal.Signals = signal.SIGKILL) -> bool:
        """Send a signal to the process of that name; False if it does not run."""
        pid = self.pid(name)
        if pid is None:
            return False
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
            return True
        return False

    async def open_tenancy(self) -> Tenancy:
        """A tenant with an API key, a credential that holds the canary, and a quota that it never reaches."""
        tenant = mint_tenant(uuid4())
        await Tenants(self.database).ensure(tenant, f"faults-{tenant}")
        await Quotas(self.database).put(tenant, "tenant", "concurrent_executions", "", 1_000_000)
        _, secret = await ApiKeys(self.database).create(tenant, "faults", scopes=("*",))
        client = httpx2.AsyncClient(
            base_url=f"{self.settings.api.url}/api/v1", headers={"Authorization": f"Bearer {secret}"},
            trust_env=False, timeout=20,
        )  # fmt: skip
        body = {"name": CREDENTIAL, "type": "bearer", "fields": {"token": self.canary}, "allowed_hosts": ["127.0.0.1"]}
        answer = await client.post("/credentials", json=body)
        assert answer.status_code == 201, answer.text
        self.tenancies.append(Tenancy(tenant, client))
        return self.tenancies[-1]

    async def serving(self) -> None:
        """Return once every process runs, the API is ready, and every worker takes tasks."""
        async with asyncio.timeout(READY_S):
            while not await self._serves():  # noqa: ASYNC110  other processes' state has no event to await
                await asyncio.sleep(0.1)

    async def _serves(self) -> bool:
        if any(self.pid(name) is None for name in (*SERVERS, *self.processes)):
            return False
        try:
            async with httpx2.AsyncClient(trust_env=False, timeout=5) as client:
                ready = (await client.get(f"{self.settings.api.url}/readyz")).status_code == 200
            return ready and await self._workers_poll()
        except (httpx2.HTTPError, RPCError, StructForgeError):
            return False

    async def _workers_poll(self) -> bool:
        wanted = {str(self.processes[name].pid) for name in self.workers}
        return wanted <= await pollers(self.temporal, self.settings.temporal.namespace, self.settings.worker.task_queue)


@contextlib.asynccontextmanager
async def running_installation(
    data_dir: Path,
    *,
    workers: int = 2,
    schedulers: int = 1,
    queues: tuple[str, ...] = (),
    environment: Mapping[str, str] | None = None,
) -> AsyncGenerator[Installation]:
    """Everything up and ready inside, gone outside.

    `queues` are task queues that get a worker of their own; `environment` holds variables of all our own processes.
    """
    async with contextlib.AsyncExitStack() as exits:
        effects = await exits.enter_async_context(running_effects(data_dir.parent / "effects.log"))
        given = settings_for(data_dir).override({"http": {"allowed_hosts": ["127.0.0.1"]}})
        stack = EmbeddedStack(given, ports=[PortRequest("api", "port")])
        endpoints = await exits.enter_async_context(stack)
        await upgrade(endpoints.owner_url)
        await describe_changed(endpoints.settings.plugins_folder)
        gate = await exits.enter_async_context(running_gate(endpoints.temporal_address))
        roles = _roles(endpoints, gate, workers, schedulers, queues)
        processes = {role.name: Kept(role, environment) for role in roles}
        exits.push_async_callback(_stop, processes)
        settings = endpoints.settings
        objects = ObjectStore.open(settings.objects_url)
        temporal = await connect(
            endpoints.temporal_address, settings.temporal.namespace, objects, protection_of(settings)
        )
        database = await Database.open(endpoints.database_url, pool_size=5)
        exits.push_async_callback(database.close)
        async with asyncio.TaskGroup() as group:
            for process in processes.values():
                group.create_task(process.start())
        installation = Installation(settings, stack, gate, effects, database, temporal, processes)
        exits.push_async_callback(_close_clients, installation)
        await installation.serving()
        yield installation


def _roles(
    endpoints: Endpoints, gate: Gate, workers: int, schedulers: int, queues: tuple[str, ...]
) -> list[Application]:
    served = endpoints.settings.override({"database": {"owner_url": None}, "worker": {"evaluator_processes": 1}})
    key = load_api_key(served.data_dir)
    gated = served.override({"api": {"key": key}, "temporal": {"address": f"127.0.0.1:{gate.port}"}})
    executions = Polling(served, served.worker.task_queue, executions=True)
    return [
        Application("api", "api", gated, f"{served.api.url}/readyz"),
        *(Application(f"worker-{number}", "worker", served, polling=executions) for number in range(workers)),
        *(Application(f"scheduler-{number}", "scheduler", served) for number in range(schedulers)),
        *(
            Application(
                f"queue-{queue}",
                "worker",
                served,
                options=["--queues", queue],
                polling=Polling(served, queue, executions=False),
            )
            for queue in queues
        ),
    ]


async def _stop(processes: Mapping[str, Kept]) -> None:
    await asyncio.gather(*(process.stop(5) for process in processes.values()))


async def _close_clients(installation: Installation) -> None:
    for tenancy in installation.tenancies:
        await tenancy.client.aclose()
