"""A tenant's rows move into partitions of its own while it reads and writes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import UUID, uuid4

import asyncpg
import pytest
import pytest_asyncio

from engine.errors import Conflict
from models.migrations import LOCK_KEY, upgrade
from models.repositories.executions import Executions, NewExecution
from models.repositories.node_executions import NodeExecutions
from models.rows import NodeRow
from models.session import Database
from models.tenancy import TenantId, mint_tenant
from models.tenant_partitions import Moved, partition_tenant
from tests.engine.activities.upkeep.rows import aged, finish
from tests.models.server import PostgresServer

ROWS = 60
NODES = 5


@pytest.fixture
def owner_url(postgres: PostgresServer) -> str:
    name = f"partitions-{uuid4().hex[:8]}"

    async def make() -> str:
        await postgres.create_database(name)
        url = postgres.url("structforge_owner", name)
        await upgrade(url)
        return url

    return asyncio.run(make())


@pytest_asyncio.fixture
async def database(owner_url: str, postgres: PostgresServer) -> AsyncIterator[Database]:
    name = owner_url.rpartition("/")[2]
    opened = await Database.open(postgres.url("structforge_app", name), pool_size=6)
    yield opened
    await opened.close()


async def run_one(database: Database, tenant: TenantId) -> UUID:
    new = NewExecution(uuid4(), uuid4(), "w")
    await Executions(database).create_execution(tenant, new)
    rows = [NodeRow(tenant, new.id, f"n{n}", "http", "running") for n in range(NODES)]
    await NodeExecutions(database).write(rows)
    for row in rows:
        row.status = "success"
    await NodeExecutions(database).write(rows)
    await finish(database, tenant, new.id)
    return new.id


async def test_a_tenant_moves_while_it_reads_and_writes_and_nothing_is_lost(
    owner_url: str, database: Database, tenant: TenantId
) -> None:
    other = mint_tenant(uuid4())
    made = [await run_one(database, tenant) for _ in range(ROWS)]
    strangers = [await run_one(database, other) for _ in range(5)]
    old = await aged(database, tenant, timedelta(days=400))  # it waits in the default partition
    moved, seen = asyncio.Event(), 0

    async def write() -> list[UUID]:
        written: list[UUID] = []
        while not moved.is_set():
            written.append(await run_one(database, tenant))
        return [*written, await run_one(database, tenant)]

    async def read() -> None:
        nonlocal seen
        while not moved.is_set():
            for one in (made[0], made[-1], old, strangers[0]):
                owner = other if one == strangers[0] else tenant
                assert (await Executions(database).get(owner, one)).status == "success"
                counts = await NodeExecutions(database).counts(owner, one)
                assert counts == {"success": 1 if one == old else NODES}
                seen += 1

    writer, reader = asyncio.create_task(write()), asyncio.create_task(read())
    result = await partition_tenant(owner_url, tenant.uuid, batch=7)
    moved.set()
    await reader
    made += await writer

    assert seen > 0
    assert [one.table for one in result] == ["execution", "node_execution", "execution_log"]
    for one in made:
        assert (await Executions(database).get(tenant, one)).status == "success"
        assert await NodeExecutions(database).counts(tenant, one) == {"success": NODES}
    assert await homes(owner_url, tenant, "execution") == {"t": len(made) + 1}
    assert await homes(owner_url, tenant, "node_execution") == {"t": NODES * len(made) + 1}
    assert await homes(owner_url, other, "execution") == {"shared": 5}
    again = await partition_tenant(owner_url, tenant.uuid)
    assert [one.was_there for one in again] == [True] * 3
    assert await upgrade(owner_url) == [], "the new branch gets its months as the others do"


async def homes(owner_url: str, tenant: TenantId, table: str) -> dict[str, int]:
    """Rows of a tenant by the branch they are in."""
    connection = await asyncpg.connect(owner_url)
    found: dict[str, int] = {}
    for (leaf,) in await connection.fetch("SELECT leaf FROM record_months() WHERE part = $1", table):
        count = await connection.fetchval(f"SELECT count(*) FROM {leaf} WHERE tenant_id = $1", tenant.uuid)
        home = leaf.removeprefix(f"{table}_").split("_")[0]
        if count:
            found[home] = found.get(home, 0) + count
    await connection.close()
    return found


async def test_a_move_that_was_broken_off_goes_on_where_it_was(
    owner_url: str, database: Database, tenant: TenantId
) -> None:
    made = [await run_one(database, tenant) for _ in range(20)]

    def stop(_table: str, rows: int) -> None:
        if rows >= 10:
            raise KeyError("the process dies")

    with pytest.raises(KeyError):
        await partition_tenant(owner_url, tenant.uuid, batch=5, told=stop)
    made.append(await run_one(database, tenant))  # written on both sides meanwhile
    assert len(made) == 21
    copied: list[int] = []
    result = await partition_tenant(owner_url, tenant.uuid, batch=5, told=lambda _table, rows: copied.append(rows))
    assert result[0] == Moved("execution", 21)
    assert copied[0] == 0, "the first batch was there already"


async def test_one_move_at_a_time_and_none_beside_a_migration(owner_url: str, tenant: TenantId) -> None:
    connection = await asyncpg.connect(owner_url)
    await connection.execute(f"SELECT pg_advisory_lock({LOCK_KEY})")
    with pytest.raises(Conflict, match="being migrated"):
        await partition_tenant(owner_url, tenant.uuid)
    await connection.close()


async def test_the_application_has_no_grant_on_the_new_partitions_and_they_hide_their_rows(
    owner_url: str, database: Database, tenant: TenantId
) -> None:
    await run_one(database, tenant)
    await partition_tenant(owner_url, tenant.uuid)
    connection = await asyncpg.connect(owner_url)
    rows = await connection.fetch(
        "SELECT relrowsecurity,"
        " has_table_privilege('structforge_app', oid, 'SELECT, INSERT, UPDATE, DELETE') AS granted"
        " FROM pg_class WHERE relispartition AND relkind IN ('r', 'p') AND relname LIKE '%\\_t\\_%'"
    )
    await connection.close()
    assert len(rows) >= 15
    assert all(row["relrowsecurity"] and not row["granted"] for row in rows)
    async with database.transaction(mint_tenant(uuid4())) as transaction:
        assert await transaction.fetchval("SELECT count(*) FROM execution") == 0
