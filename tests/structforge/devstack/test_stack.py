"""The embedded servers as their clients see them."""

from __future__ import annotations

import os
import signal
import stat
from collections.abc import AsyncIterator

import asyncpg
import httpx2
import psutil
import pytest
import pytest_asyncio
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, RedisError
from temporalio.client import Client

from engine.errors import ConfigurationError
from structforge.devstack import EmbeddedStack, Endpoints, find_running
from structforge.devstack.temporal import SEARCH_ATTRIBUTES
from tests.structforge.devstack.conftest import eventually, open_folder, settings_for

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def started() -> AsyncIterator[tuple[EmbeddedStack, Endpoints]]:
    with open_folder() as data_dir:
        stack = EmbeddedStack(settings_for(data_dir))
        async with stack as endpoints:
            yield stack, endpoints


@pytest.fixture
def stack(started: tuple[EmbeddedStack, Endpoints]) -> EmbeddedStack:
    return started[0]


@pytest.fixture
def endpoints(started: tuple[EmbeddedStack, Endpoints]) -> Endpoints:
    return started[1]


async def test_application_role_neither_owns_nor_bypasses_row_security(endpoints: Endpoints) -> None:
    connection = await asyncpg.connect(endpoints.database_url)
    try:
        role = await connection.fetchrow("SELECT * FROM pg_roles WHERE rolname = current_user")
        owner = await connection.fetchval(
            "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = current_database()"
        )
    finally:
        await connection.close()
    assert role is not None
    assert role["rolname"] == "structforge_app"
    assert role["rolcanlogin"]
    assert not any(role[name] for name in ("rolsuper", "rolbypassrls", "rolcreaterole", "rolcreatedb"))
    assert owner == "structforge_owner"


async def test_owner_role_may_create_tables_and_nothing_beyond_its_database(endpoints: Endpoints) -> None:
    connection = await asyncpg.connect(endpoints.owner_url)
    try:
        role = await connection.fetchrow("SELECT * FROM pg_roles WHERE rolname = current_user")
        await connection.execute("CREATE TABLE probe (n int); DROP TABLE probe")
    finally:
        await connection.close()
    assert role is not None
    assert role["rolname"] == "structforge_owner"
    assert not any(role[name] for name in ("rolsuper", "rolbypassrls", "rolcreaterole", "rolcreatedb"))


async def test_application_role_cannot_create_tables(endpoints: Endpoints) -> None:
    connection = await asyncpg.connect(endpoints.database_url)
    try:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute("CREATE TABLE probe (n int)")
    finally:
        await connection.close()


async def test_database_refuses_a_wrong_password(endpoints: Endpoints) -> None:
    port = endpoints.settings.embedded.postgres_port
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(f"postgresql://structforge_app:wrong@127.0.0.1:{port}/structforge")


async def test_redis_demands_its_password(endpoints: Endpoints) -> None:
    async with Redis.from_url(endpoints.redis_url) as known:
        assert await known.set("probe", "1")
    once = Retry(NoBackoff(), 0)
    async with Redis(port=endpoints.settings.embedded.redis_port, retry=once) as unknown:
        with pytest.raises(AuthenticationError):
            await unknown.get("probe")


async def test_temporal_knows_the_search_attributes_and_serves_its_web_ui(endpoints: Endpoints) -> None:
    client = await Client.connect(endpoints.temporal_address)
    for attribute in SEARCH_ATTRIBUTES:
        assert await client.count_workflows(f'{attribute} = "x"')
    assert endpoints.temporal_ui_url
    async with httpx2.AsyncClient(trust_env=False) as http:
        assert (await http.get(endpoints.temporal_ui_url, follow_redirects=True)).status_code == 200


async def test_every_server_listens_on_the_loopback_address_alone(stack: EmbeddedStack) -> None:
    listening = [
        connection.laddr.ip
        for pid in stack.pids.values()
        for connection in psutil.Process(pid).net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    ]
    assert len(listening) >= 6  # postgres, valkey, temporal: gRPC, HTTP, metrics, UI
    assert set(listening) <= {"127.0.0.1"}


async def test_no_secret_stands_in_a_command_line_or_in_a_file_others_can_read(
    stack: EmbeddedStack, endpoints: Endpoints
) -> None:
    data_dir = endpoints.settings.data_dir
    secrets = [part for part in (data_dir / "secrets.json").read_text().split('"') if len(part) > 30]
    assert len(secrets) == 4
    lines = " ".join(" ".join(psutil.Process(pid).cmdline()) for pid in stack.pids.values())
    assert not any(secret in lines for secret in secrets)
    for path in data_dir.iterdir():
        if path.is_file():
            assert stat.S_IMODE(path.stat().st_mode) == 0o600, path


async def test_second_start_on_the_folder_names_the_running_process(endpoints: Endpoints) -> None:
    with pytest.raises(ConfigurationError, match=f"already running.*pid {os.getpid()}.*API at"):
        async with EmbeddedStack(settings_for(endpoints.settings.data_dir)):
            pass
    found = find_running(endpoints.settings.data_dir)
    assert found is not None
    assert found.pid == os.getpid()


@pytest.mark.parametrize("name", ["postgres", "valkey", "temporal"])
async def test_server_that_dies_is_started_again_on_its_port(
    stack: EmbeddedStack, endpoints: Endpoints, name: str
) -> None:
    before, restarts = stack.pids[name], stack.restarts[name]
    os.kill(before, signal.SIGKILL)
    await eventually(lambda: _serves(stack, endpoints, name, before))
    assert stack.restarts[name] == restarts + 1


async def _serves(stack: EmbeddedStack, endpoints: Endpoints, name: str, old_pid: int) -> bool:
    if stack.pids.get(name, old_pid) == old_pid:
        return False
    try:
        if name == "postgres":
            await (await asyncpg.connect(endpoints.database_url)).close()
        elif name == "valkey":
            async with Redis.from_url(endpoints.redis_url) as client:
                await client.ping()
        else:
            await Client.connect(endpoints.temporal_address)
    except (OSError, RuntimeError, asyncpg.PostgresError, RedisError):
        return False
    return True
