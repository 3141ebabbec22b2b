"""Every command of the compose file that a machine without Docker can run, run: on real servers, with its variables.

Not run here, for want of their programs: `temporal-sql-tool` (temporal/schema.sh), `temporal-server`, `versitygw`
(objects/server.sh) and `valkey-cli` (valkey/health.sh).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Generator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
import httpx2
import pytest
import pytest_asyncio
from redis.asyncio import Redis
from redis.exceptions import RedisError
from temporalio.client import Client

from engine.settings import Settings
from structforge.devstack.binaries import find_pg_bin, find_temporal, find_valkey
from structforge.devstack.temporal import SEARCH_ATTRIBUTES
from tests.docker.compose import DOCKER, SECRETS, SERVICES, image_environment
from tests.models.server import SUPERUSER_PASSWORD, PostgresServer, free_port
from tests.servers.launching import launch
from tests.servers.s3 import BUCKET

pytestmark = pytest.mark.asyncio(loop_scope="session")

ROOT = DOCKER.parent
NAMESPACE = "compose-test"
ROLES = ("api", "worker", "worker-tools", "scheduler")
PATIENCE_S = 100
DOCUMENT: dict[str, Any] = {
    "name": "compose-test",
    "nodes": [
        {"id": "start", "type": "manual"},
        {"id": "twice", "type": "script", "params": {"script_code": "input * 2", "input": "{{ input.n }}"}},
    ],
    "edges": [{"source": "start", "target": "twice"}],
}


@dataclass(slots=True)
class Host:
    """This machine in place of the compose network: its servers' ports and the folder of its secrets."""

    folder: Path
    postgres: PostgresServer
    valkey_port: int
    temporal: str
    s3: str
    valkey: subprocess.Popen[bytes] = field(init=False)
    environments: dict[str, dict[str, str]] = field(default_factory=dict[str, dict[str, str]])

    @property
    def secrets(self) -> Path:
        return self.folder / "secrets"

    def secret(self, name: str) -> str:
        return (self.secrets / name).read_text().strip()

    def environment(self, service: str) -> dict[str, str]:
        """What the service's container would see, its addresses replaced by this machine's."""
        if service not in self.environments:
            given = image_environment() | SERVICES[service].get("environment", {})
            own = {name: self._here(str(value)) for name, value in given.items() if name.startswith("STRUCTFORGE_")}
            own |= {"TEMPORAL_ADDRESS": self.temporal, "STRUCTFORGE_TEMPORAL__NAMESPACE": NAMESPACE}
            for name in [name for name in own if name.endswith("__PORT")]:
                own[name] = str(free_port())
            own |= {"STRUCTFORGE_DATA_DIR": str(self.folder / "data"), "PYTHONPATH": str(ROOT)}
            if service == "structforge-api":
                own["STRUCTFORGE_API__PORT"] = str(free_port())
            self.environments[service] = _bare() | own
        return self.environments[service]

    def _here(self, value: str) -> str:
        value = value.replace("http://objects:7070", self.s3).replace("s3://structforge", f"s3://{BUCKET}")
        return value.replace(SECRETS, f"{self.secrets}/").replace("0.0.0.0", "127.0.0.1")

    @property
    def api(self) -> str:
        return f"http://127.0.0.1:{self.environment('structforge-api')['STRUCTFORGE_API__PORT']}"


def _bare() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("STRUCTFORGE_", "OTEL_"))}
    kept.pop("TEMPORAL_ADDRESS", None)
    return kept


def _run(words: list[str], environment: Mapping[str, str], *, check: bool = True) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, env=dict(environment), text=True, capture_output=True, timeout=PATIENCE_S, check=check)


def _structforge(*words: str) -> list[str]:
    return [sys.executable, "-m", "structforge", *words]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def host(engine_servers: Settings, s3: str) -> AsyncIterator[Host]:
    """The servers, with their secrets made, their roles and namespace in place and the schema migrated."""
    with tempfile.TemporaryDirectory(prefix="structforge-test-compose-") as folder:
        postgres = PostgresServer()
        made = Host(Path(folder), postgres, free_port(), engine_servers.temporal.address or "", s3)
        try:
            _run(["sh", str(DOCKER / "make-secrets.sh"), str(made.secrets)], _bare())
            with _valkey(made):
                await asyncio.to_thread(postgres.initialise)
                postgres.start()
                await postgres.wait_ready()
                _point_urls_here(made)
                yield made
        finally:
            postgres.remove()


def _point_urls_here(host: Host) -> None:
    places = {"postgres:5432": f"127.0.0.1:{host.postgres.port}", "valkey:6379": f"127.0.0.1:{host.valkey_port}"}
    for name in ("database_url", "owner_url", "redis_url"):
        text = host.secret(name)
        for there, here in places.items():
            text = text.replace(there, here)
        path = host.secrets / name
        path.unlink()
        path.write_text(text)


@contextlib.contextmanager
def _valkey(host: Host) -> Generator[None]:
    environment = _bare() | {"SECRETS": str(host.secrets), "VALKEY_BIND": "127.0.0.1"}
    environment |= {"VALKEY_PORT": str(host.valkey_port)}
    environment["PATH"] = f"{find_valkey().parent}{os.pathsep}{environment['PATH']}"
    (host.folder / "valkey").mkdir()
    command = ["/bin/sh", str(DOCKER / "valkey" / "server.sh")]
    host.valkey = process = launch(command, host.folder / "valkey", environment=environment)
    try:
        yield
    finally:
        process.kill()
        process.wait(30)


async def test_valkey_lets_in_who_has_the_password(host: Host) -> None:
    client = Redis.from_url(host.secret("redis_url"))
    stranger = Redis(host="127.0.0.1", port=host.valkey_port)
    async with client, stranger:
        async with asyncio.timeout(PATIENCE_S):
            while not await _answers(client):
                assert host.valkey.poll() is None, (host.folder / "valkey" / "log").read_text()
                await asyncio.sleep(0.05)
        assert (await client.config_get("appendonly"))["appendonly"] == "yes"
        assert not await _answers(stranger)


async def _answers(client: Redis) -> bool:
    try:
        return bool(await client.ping())
    except (RedisError, OSError):
        return False


async def test_roles_are_made_and_none_is_above_row_security(host: Host) -> None:
    environment = _bare() | {"SECRETS": str(host.secrets), "POSTGRES_USER": "postgres", "PGHOST": "127.0.0.1"}
    environment |= {"PGPORT": str(host.postgres.port), "PGPASSWORD": SUPERUSER_PASSWORD, "PGDATABASE": "postgres"}
    environment["PATH"] = f"{find_pg_bin(None)}{os.pathsep}{environment['PATH']}"
    await asyncio.to_thread(_run, ["bash", str(DOCKER / "postgres" / "10-roles.sh")], environment)

    connection = await asyncpg.connect(host.secret("owner_url"))
    rows = await connection.fetch(
        "SELECT rolname FROM pg_roles WHERE NOT (rolsuper OR rolbypassrls OR rolcreaterole OR rolcreatedb)"
        " AND rolname !~ '^pg_' ORDER BY rolname"
    )
    await connection.close()
    assert [row[0] for row in rows] == ["structforge_app", "structforge_owner", "temporal"]


async def test_temporals_server_is_given_its_password(host: Host) -> None:
    environment = _bare() | {"SECRETS": str(host.secrets), "TEMPORAL_ENTRYPOINT": "/usr/bin/env"}
    done = await asyncio.to_thread(_run, ["sh", str(DOCKER / "temporal" / "server.sh")], environment)
    assert f"POSTGRES_PWD={host.secret('temporal_password')}\n" in done.stdout


async def test_namespace_and_search_attributes_are_made_and_made_again(host: Host) -> None:
    environment = _bare() | {"TEMPORAL_ADDRESS": host.temporal, "TEMPORAL_NAMESPACE": NAMESPACE}
    environment["PATH"] = f"{find_temporal().parent}{os.pathsep}{environment['PATH']}"
    for _ in range(2):
        await asyncio.to_thread(_run, ["sh", str(DOCKER / "temporal" / "namespace.sh")], environment)

    client = await Client.connect(host.temporal, namespace=NAMESPACE)
    for name in SEARCH_ATTRIBUTES:
        assert (await client.count_workflows(f"{name} = 'nothing'")).count == 0


async def test_migration_brings_the_schema_and_finds_nothing_to_do_afterwards(host: Host) -> None:
    command = _structforge(*SERVICES["structforge-migrate"]["command"])
    environment = host.environment("structforge-migrate")
    first = await asyncio.to_thread(_run, command, environment)
    again = await asyncio.to_thread(_run, command, environment)
    assert "applied 0001" in first.stdout
    assert "newest revision" in again.stdout


@dataclass(slots=True)
class Fleet:
    """The processes of StructForge by the name of their service."""

    host: Host
    running: dict[str, subprocess.Popen[bytes]]

    async def health(self, service: str) -> subprocess.CompletedProcess[str]:
        """The health check of the service, as the container's supervisor would run it."""
        kind, program, *words = SERVICES[service]["healthcheck"]["test"]
        assert (kind, program) == ("CMD", "structforge")
        return await asyncio.to_thread(_run, _structforge(*words), self.host.environment(service), check=False)

    def log(self, service: str) -> str:
        return (self.host.folder / service / "log").read_text()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def fleet(host: Host) -> AsyncIterator[Fleet]:
    running: dict[str, subprocess.Popen[bytes]] = {}
    for role in ROLES:
        service = f"structforge-{role}"
        (host.folder / service).mkdir()
        command = _structforge(*SERVICES[service]["command"])
        running[service] = launch(command, host.folder / service, environment=host.environment(service))
    try:
        yield Fleet(host, running)
    finally:
        for process in running.values():
            process.kill()
            process.wait(30)


@pytest.mark.parametrize("role", ROLES)
async def test_health_check_passes_once_the_process_is_ready(fleet: Fleet, role: str) -> None:
    service = f"structforge-{role}"
    async with asyncio.timeout(PATIENCE_S):
        while (done := await fleet.health(service)).returncode != 0:
            assert fleet.running[service].poll() is None, fleet.log(service)
            await asyncio.sleep(0.2)
    assert '"ready": true' in done.stdout.replace('":true', '": true')


async def test_an_execution_runs_on_both_workers_and_is_sealed_in_temporal(fleet: Fleet) -> None:
    host = fleet.host
    headers = {"Authorization": f"Bearer {host.secret('api_key')}"}
    async with httpx2.AsyncClient(base_url=f"{host.api}/api/v1", headers=headers, trust_env=False, timeout=60) as api:
        workflow = (await api.post("/workflows", json={"document": DOCUMENT})).json()["id"]
        wait = {"mode": "sync", "wait_s": 50}
        started = await api.post(f"/workflows/{workflow}/execute", params=wait, json={"input": {"n": 21}})
        queues = (await api.get("/system/queues")).json()
        workers = (await api.get("/system/workers")).json()

    assert (started.json()["status"], started.json()["output"]["twice"]["result"]) == ("success", 42), started.text
    assert {one["queue"] for one in queues} == {"structforge", "structforge-ai", "structforge-tools"}
    served = [{queue["queue"] for queue in one["queues"]} for one in workers]
    assert sorted(served, key=sorted) == [{"structforge"}, {"structforge-tools"}]
    client = await Client.connect(host.temporal, namespace=NAMESPACE)
    executions = [one async for one in client.list_workflows("StructForgeWorkflow = 'compose-test'")]
    history = await client.get_workflow_handle(executions[0].id).fetch_history()
    assert b"input * 2" not in b"".join(event.SerializeToString() for event in history.events)


@pytest.mark.parametrize("role", ROLES)
async def test_metrics_are_shown_and_the_log_is_json(fleet: Fleet, role: str) -> None:
    service = f"structforge-{role}"
    port = fleet.host.environment(service)["STRUCTFORGE_METRICS__PORT"]
    async with httpx2.AsyncClient(trust_env=False, timeout=30) as client:
        shown = await client.get(f"http://127.0.0.1:{port}/metrics")
    assert f'role="{role.partition("-")[0]}"' in shown.text
    assert all(line.startswith("{") for line in fleet.log(service).splitlines())


async def test_every_process_ends_well_when_it_is_told_to(fleet: Fleet) -> None:
    for process in fleet.running.values():
        process.send_signal(signal.SIGTERM)
    codes = {name: await asyncio.to_thread(process.wait, PATIENCE_S) for name, process in fleet.running.items()}
    # uvicorn ends the API in order, and then by the signal that it was sent.
    assert codes == dict.fromkeys(fleet.running, 0) | {"structforge-api": -signal.SIGTERM}
    assert (await fleet.health("structforge-worker")).returncode == 1
