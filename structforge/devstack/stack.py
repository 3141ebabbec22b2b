"""The embedded servers together: real PostgreSQL, Valkey and Temporal, as children of this process."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from engine.settings import Settings
from models.keyring import ensure_key_file
from structforge.devstack import folder
from structforge.devstack.binaries import find_pg_bin, find_temporal, find_valkey
from structforge.devstack.ports import PortRequest, choose_ports
from structforge.devstack.postgres import PostgresServer
from structforge.devstack.server import Server, SupervisedServer
from structforge.devstack.temporal import TemporalServer
from structforge.devstack.unprivileged import postgres_account
from structforge.devstack.valkey import ValkeyServer

STOP_DEADLINE_S = 2.5


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Where the servers are. `settings` are the given ones with every address and port filled in.

    The URLs hold passwords; print `settings.redacted()`, never these.
    """

    settings: Settings
    database_url: str
    owner_url: str
    redis_url: str
    temporal_address: str
    temporal_ui_url: str | None
    api_url: str | None = None
    api_key: str | None = None


class EmbeddedStack:
    """`async with EmbeddedStack(settings) as endpoints`: servers up and ready inside, gone outside.

    A server whose URL is set from outside is not started. The data folder is locked meanwhile. A server that dies is
    started again on its port and data; `restarts` counts that for each.

    Raises: ConfigurationError if the folder is in use, a wanted port is taken, or a server does not start.
    """

    def __init__(self, settings: Settings, *, ports: Sequence[PortRequest] = ()) -> None:
        """`ports`: further port settings to choose and fill in, for what will run beside the servers."""
        self._settings = settings
        self._ports = ports
        self._exit = contextlib.AsyncExitStack()
        self._servers: list[SupervisedServer] = []

    @property
    def restarts(self) -> dict[str, int]:
        """How often each server was started again."""
        return {server.name: server.restarts for server in self._servers}

    @property
    def pids(self) -> dict[str, int]:
        """Process of each server that runs now."""
        return {server.name: server.pid for server in self._servers if server.pid is not None}

    async def __aenter__(self) -> Endpoints:
        async with contextlib.AsyncExitStack() as stack:
            stack.enter_context(folder.locked(self._data_dir))
            await asyncio.to_thread(folder.end_leftovers, self._data_dir)
            stack.push_async_callback(self._stop)
            endpoints = await self._start()
            self._exit = stack.pop_all()
            return endpoints

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._exit.aclose()

    @property
    def _data_dir(self) -> Path:
        return self._settings.data_dir

    async def _start(self) -> Endpoints:
        requests = [*_port_requests(self._settings), *self._ports]
        settings = self._settings.override(choose_ports(self._settings, requests))
        secrets = folder.load_secrets(self._data_dir)
        if settings.encryption.keys is None:
            ensure_key_file(settings.encryption_key_file)
        changes: dict[str, dict[str, str | None]] = {}
        servers: list[Server] = []
        if settings.database.url is None:
            postgres = _postgres(settings, secrets)
            servers.append(postgres)
            changes["database"] = {"url": postgres.app_url, "owner_url": postgres.owner_url}
        if settings.redis.url is None:
            valkey = ValkeyServer(self._data_dir, find_valkey(), settings.embedded.redis_port, secrets)
            servers.append(valkey)
            changes["redis"] = {"url": valkey.url}
        if settings.temporal.address is None:
            temporal = _temporal(settings)
            servers.append(temporal)
            changes["temporal"] = {"address": temporal.address, "ui_url": temporal.ui_url}
        await self._run(servers, settings.embedded.start_timeout_s)
        return _endpoints(settings.override(changes))

    async def _run(self, servers: list[Server], timeout_s: float) -> None:
        self._servers = [SupervisedServer(server, timeout_s, self._note) for server in servers]
        try:
            async with asyncio.TaskGroup() as group:
                for server in self._servers:
                    group.create_task(server.start())
        except ExceptionGroup as failures:
            # One cause is enough to act on; the other servers were cancelled because of it.
            raise failures.exceptions[0] from None

    async def _stop(self) -> None:
        await asyncio.gather(*(server.stop(STOP_DEADLINE_S) for server in self._servers))
        self._note()

    def _note(self) -> None:
        folder.note_servers(self._data_dir, list(self.pids.values()))


def _port_requests(settings: Settings) -> list[PortRequest]:
    fields: list[str] = []
    if settings.database.url is None:
        fields += ["postgres_port"]
    if settings.redis.url is None:
        fields += ["redis_port"]
    if settings.temporal.address is None:
        fields += ["temporal_port", "temporal_ui_port", "temporal_http_port", "temporal_metrics_port"]
    return [PortRequest("embedded", field) for field in fields]


def _postgres(settings: Settings, secrets: folder.StackSecrets) -> PostgresServer:
    pg_bin = find_pg_bin(settings.embedded.postgres_bin)
    return PostgresServer(settings.data_dir, pg_bin, settings.embedded.postgres_port, secrets, postgres_account())


def _temporal(settings: Settings) -> TemporalServer:
    ports = settings.embedded
    return TemporalServer(
        settings.data_dir,
        find_temporal(),
        settings.temporal.namespace,
        port=ports.temporal_port,
        ui_port=ports.temporal_ui_port,
        http_port=ports.temporal_http_port,
        metrics_port=ports.temporal_metrics_port,
    )


def _endpoints(settings: Settings) -> Endpoints:
    database, redis, address = settings.database, settings.redis, settings.temporal.address
    assert database.url
    assert redis.url
    assert address
    url = database.url.get_secret_value()
    return Endpoints(
        settings=settings,
        database_url=url,
        owner_url=database.owner_url.get_secret_value() if database.owner_url else url,
        redis_url=redis.url.get_secret_value(),
        temporal_address=address,
        temporal_ui_url=settings.temporal.ui_url,
    )
