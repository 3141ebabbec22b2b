import asyncio
from datetime import UTC, datetime
from uuid import uuid4

import asyncpg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import create_async_engine

from engine.errors import ConfigurationError
from models.ids import id_of_fire, new_id
from models.migrations import at_head, sqlalchemy_url, upgrade
from models.partitions import ensure_partitions
from models.session import Database
from models.tables import Tenant
from models.tenancy import TenantId
from tests.models.server import PostgresServer


async def test_two_processes_migrating_at_once_apply_each_revision_once(postgres: PostgresServer) -> None:
    await postgres.create_database("fresh")
    owner = postgres.url("structforge_owner", "fresh")
    assert not await at_head(owner)
    first, second = await asyncio.gather(upgrade(owner), upgrade(owner))
    assert sorted([first, second]) == [[], [f"{number:04d}" for number in range(1, 24)]]
    assert await at_head(owner)
    assert await at_head(postgres.url("structforge_app", "fresh"))
    assert await upgrade(owner) == []


async def test_schema_equals_the_described_tables(postgres: PostgresServer) -> None:
    engine = create_async_engine(sqlalchemy_url(postgres.url("structforge_owner", "structforge")))
    async with engine.connect() as connection:
        differences = await connection.run_sync(_differences)
    await engine.dispose()
    assert differences == []


def _differences(connection: Connection) -> list[object]:
    partitions = {row[0] for row in connection.execute(text("SELECT relname FROM pg_class WHERE relispartition"))}

    def is_ours(thing: object, name: str | None, kind: str, *_: object) -> bool:
        return not (kind == "table" and name in partitions)

    options = {"compare_type": True, "include_object": is_ours}
    context = MigrationContext.configure(connection, opts=options)
    return list(compare_metadata(context, Tenant.metadata))


async def test_missing_application_role_is_named(postgres: PostgresServer) -> None:
    connection = await asyncpg.connect(postgres.url("postgres", "postgres"))
    await connection.execute("ALTER ROLE structforge_app RENAME TO renamed_app")
    try:
        await postgres.create_database("roleless")
        with pytest.raises(ConfigurationError, match="CREATE ROLE structforge_app"):
            await upgrade(postgres.url("structforge_owner", "roleless"))
    finally:
        await connection.execute("ALTER ROLE renamed_app RENAME TO structforge_app")
        await connection.execute("ALTER ROLE structforge_app PASSWORD 'app-password'")
        await connection.close()


async def _partition_of(postgres: PostgresServer, execution_id: object) -> str:
    connection = await asyncpg.connect(postgres.url("postgres", "structforge"))
    found = await connection.fetchval("SELECT tableoid::regclass::text FROM execution WHERE id = $1", execution_id)
    await connection.close()
    return found


async def test_execution_goes_to_its_months_partition_and_without_one_to_the_default(
    postgres: PostgresServer, database: Database, tenant: TenantId
) -> None:
    today, long_ago = new_id(), id_of_fire(datetime(2001, 5, 1, tzinfo=UTC), "test")
    async with database.transaction(tenant) as transaction:
        for execution_id in (today, long_ago):
            await transaction.execute(
                "INSERT INTO execution (tenant_id, id, workflow_id, version_id, workflow_name)"
                " VALUES ($1, $2, $3, $3, '')",
                tenant.uuid,
                execution_id,
                uuid4(),
            )
    now = datetime.now(UTC)
    assert await _partition_of(postgres, today) == f"execution_shared__{now.year}_{now.month:02d}"
    assert await _partition_of(postgres, long_ago) == "execution_shared_default"


async def test_more_months_ahead_are_added_once_and_rows_in_the_default_stay_reachable(
    postgres: PostgresServer,
) -> None:
    engine = create_async_engine(sqlalchemy_url(postgres.url("structforge_owner", "structforge")))
    added = await ensure_partitions(engine, months_ahead=5)
    again = await ensure_partitions(engine, months_ahead=5)
    await engine.dispose()
    assert added == [f"{table}_shared: 2" for table in ("execution", "node_execution", "execution_log")]
    assert again == []


async def test_large_tenant_can_have_a_branch_of_its_own(postgres: PostgresServer, tenant: TenantId) -> None:
    owner = await asyncpg.connect(postgres.url("structforge_owner", "structforge"))
    await owner.execute(
        f"CREATE TABLE execution_large PARTITION OF execution FOR VALUES IN ('{tenant}') PARTITION BY RANGE (id)"
    )
    engine = create_async_engine(sqlalchemy_url(postgres.url("structforge_owner", "structforge")))
    added = await ensure_partitions(engine, months_ahead=0)
    await engine.dispose()
    leaves = await owner.fetchval("SELECT count(*) FROM pg_partition_tree('execution_large') WHERE isleaf")
    await owner.execute("DROP TABLE execution_large")
    await owner.close()
    assert added == ["execution_large: 1"]
    assert leaves == 1
