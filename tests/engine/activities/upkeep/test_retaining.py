"""Months are made ahead and dropped whole; what has to go out of the others goes row by row."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
import pytest_asyncio

from engine.activities.upkeep.retaining import Retainer
from engine.settings import Settings
from models.migrations import upgrade
from models.repositories.executions import Executions, NewExecution
from models.repositories.node_executions import NodeExecutions
from models.repositories.retention import Retention
from models.repositories.tenants import Tenants
from models.repositories.upkeep_counts import UpkeepCounts
from models.session import Database
from models.tenancy import TenantId, mint_tenant
from tests.engine.activities.upkeep.rows import aged, finish, id_at
from tests.models.server import PostgresServer

YEAR = timedelta(days=365)


@pytest.fixture(scope="module")
def name(postgres: PostgresServer) -> str:
    """A database of these tests' own: they count months and rows of all tenants."""
    name = f"retention-{uuid4().hex[:8]}"

    async def make() -> None:
        await postgres.create_database(name)
        await upgrade(postgres.url("structforge_owner", name))

    asyncio.run(make())
    return name


@pytest_asyncio.fixture
async def database(postgres: PostgresServer, name: str) -> AsyncIterator[Database]:
    opened = await Database.open(postgres.url("structforge_app", name), pool_size=3)
    yield opened
    await opened.close()


@pytest_asyncio.fixture
async def tenant(database: Database) -> TenantId:
    made = await Tenants(database).create(f"t {uuid4()}")
    return mint_tenant(made.id)


def retainer(database: Database, **days: int) -> Retainer:
    return Retainer(database, Settings(retention=days))  # pyright: ignore[reportArgumentType]


async def count(database: Database, tenant: TenantId, table: str, execution: UUID) -> int:
    key = "id" if table == "execution" else "execution_id"
    async with database.transaction(tenant) as transaction:
        query = f"SELECT count(*) FROM {table} WHERE tenant_id = $1 AND {key} = $2"
        return await transaction.fetchval(query, tenant.uuid, execution)


async def rows_of(database: Database, tenant: TenantId, execution: UUID) -> list[int]:
    """Rows of the execution, of its node and of its log."""
    tables = ("execution", "node_execution", "execution_log")
    return [await count(database, tenant, table, execution) for table in tables]


async def leaves(postgres: PostgresServer, name: str, like: str) -> list[str]:
    connection = await asyncpg.connect(postgres.url("structforge_owner", name))
    rows = await connection.fetch("SELECT leaf FROM record_months() WHERE leaf LIKE $1 ORDER BY 1", like)
    await connection.close()
    return [row[0] for row in rows]


async def test_rows_without_a_month_get_one_and_old_months_are_dropped_whole(
    database: Database, tenant: TenantId, postgres: PostgresServer, name: str
) -> None:
    old = await aged(database, tenant, 2 * YEAR)
    month = f"%shared__{datetime.now(UTC) - 2 * YEAR:%Y_%m}"
    extended = await Retention(database).extend(3)
    assert (extended.created, extended.moved, extended.left_over) == (3, 3, 0)
    assert len(await leaves(postgres, name, month)) == 3
    assert await rows_of(database, tenant, old) == [1, 1, 1], "moved, and found where they are now"

    done = await retainer(database).run_once()
    assert done["months_dropped"] == 3
    assert await leaves(postgres, name, month) == []
    assert await rows_of(database, tenant, old) == [0, 0, 0]
    assert {row.kind: row.total for row in await UpkeepCounts(database).list()}["months_dropped"] == 3


async def test_a_month_that_holds_something_to_keep_loses_the_rest_row_by_row(
    database: Database, tenant: TenantId
) -> None:
    age = 3 * YEAR
    old = await aged(database, tenant, age)
    kept = await aged(database, tenant, age, keep="legal hold")
    not_kept = await aged(database, tenant, age, keep=False)
    open_one = await aged(database, tenant, age, ended=False)
    original = await aged(database, tenant, age)
    rerun = NewExecution(uuid4(), uuid4(), "w", rerun_of=original, rerun_from="a")
    await Executions(database).create_execution(tenant, rerun)

    done = await retainer(database).run_once()
    assert (done.get("months_dropped"), done["execution"], done["node_execution"]) == (None, 2, 2)
    assert [await rows_of(database, tenant, one) for one in (old, not_kept)] == [[0, 0, 0]] * 2
    assert [await rows_of(database, tenant, one) for one in (kept, open_one, original)] == [[1, 1, 1]] * 3

    await finish(database, tenant, rerun.id)
    await retainer(database).run_once()
    assert await rows_of(database, tenant, original) == [0, 0, 0], "nobody runs it again now"


async def test_details_may_go_before_their_execution(database: Database, tenant: TenantId) -> None:
    execution = await aged(database, tenant, timedelta(days=20))
    young = await aged(database, tenant, timedelta(days=2))
    await retainer(database, logs_days=10, executions_days=100).run_once()
    assert await rows_of(database, tenant, execution) == [1, 1, 0]
    await retainer(database, logs_days=10, node_executions_days=15, executions_days=100).run_once()
    assert await rows_of(database, tenant, execution) == [1, 0, 0]
    await retainer(database, logs_days=90, executions_days=10).run_once()
    assert await rows_of(database, tenant, execution) == [0, 0, 0]
    assert await rows_of(database, tenant, young) == [1, 1, 1]


async def test_nothing_is_forgotten_where_retention_is_off(database: Database, tenant: TenantId) -> None:
    old = await aged(database, tenant, 4 * YEAR)
    await retainer(database, executions_days=0, node_executions_days=0, logs_days=0).run_once()
    assert await rows_of(database, tenant, old) == [1, 1, 1]


async def test_an_execution_made_late_under_an_old_id_is_kept_by_its_end(database: Database, tenant: TenantId) -> None:
    """A backfill makes executions today whose ids say when they should have been."""
    new = NewExecution(uuid4(), uuid4(), "w", id=id_at(datetime.now(UTC) - 5 * YEAR))
    await Executions(database).create_execution(tenant, new)
    await finish(database, tenant, new.id)
    await retainer(database).run_once()
    assert await count(database, tenant, "execution", new.id) == 1


async def test_what_belongs_to_no_month_goes_by_its_age(database: Database, tenant: TenantId) -> None:
    async def insert(query: str, *arguments: Any) -> None:
        async with database.transaction(tenant) as transaction:
            await transaction.execute(query, tenant.uuid, *arguments)

    for age in (timedelta(days=1), 2 * YEAR):
        moment = datetime.now(UTC) - age
        await insert("INSERT INTO hook_nonce VALUES ($1, 'c', $2, $3)", str(age), moment)
        await insert("INSERT INTO idempotency_key VALUES ($1, 'k', $2, gen_random_uuid(), '', $3)", str(age), moment)
        await insert(
            "INSERT INTO outbox (tenant_id, kind, payload, created_at, delivered_at) VALUES ($1, 'x', '{}', $2, $2)",
            moment,
        )
        await insert(
            """INSERT INTO ai_call (tenant_id, id, execution_id, workflow_id, node_path, iteration, generation, attempt,
                                    holder, model, provider, status, expires_at, created_at)
               VALUES ($1, gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), 'a', '{}', 0, 1,
                       gen_random_uuid(), 'm', 'p', 'settled', $2, $2)""",
            moment,
        )
    done = await retainer(database).run_once()
    assert (done["nonces"], done["idempotency_keys"], done["messages"], done["ai_calls"]) == (2, 1, 1, 1)


async def test_the_application_can_neither_delete_executions_nor_drop_what_is_young(
    database: Database, tenant: TenantId, postgres: PostgresServer, name: str
) -> None:
    young = await aged(database, tenant, timedelta(minutes=5))
    async with database.transaction(tenant) as transaction:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await transaction.execute("DELETE FROM execution WHERE tenant_id = $1", tenant.uuid)
    retention, now = Retention(database), datetime.now(UTC)
    assert await retention.forget_executions(tenant.uuid, now, now, 10) == 0
    (leaf,) = await leaves(postgres, name, f"execution_shared__{now:%Y_%m}")
    assert not await retention.drop_month(leaf, now + YEAR)
    assert not await retention.drop_month("workflow", now)
    assert not await retention.drop_month("execution_shared_default", now)
    assert await rows_of(database, tenant, young) == [1, 1, 1]
    async with database.transaction(purpose="upkeep") as transaction:  # pyright: ignore[reportArgumentType]
        assert await transaction.fetchval("SELECT count(*) FROM execution") == 0, "that purpose is the owner's alone"


async def test_writers_are_not_disturbed_while_months_are_made_and_dropped(
    database: Database, tenant: TenantId
) -> None:
    await aged(database, tenant, 6 * YEAR)
    stop, written = asyncio.Event(), 0

    async def write() -> None:
        nonlocal written
        while not stop.is_set():
            new = NewExecution(uuid4(), uuid4(), "w")
            await Executions(database).create_execution(tenant, new)
            await NodeExecutions(database).write([])
            await finish(database, tenant, new.id)
            written += 1

    writer = asyncio.create_task(write())
    dropped = (await retainer(database).run_once()).get("months_dropped")
    stop.set()
    await writer
    assert (dropped, written > 0) == (3, True)
