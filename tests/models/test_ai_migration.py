"""From a schema with rows in it, as an installation has that is upgraded."""

from __future__ import annotations

from uuid import uuid4

import asyncpg
from alembic import command
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import create_async_engine

from models import migrations
from models.migrations import sqlalchemy_url, upgrade
from models.partitions import ensure_partitions
from models.repositories.ai_calls import AiCalls, Reserved
from models.session import Database
from models.tenancy import mint_tenant
from tests.models.fixtures import make_execution
from tests.models.repositories.test_ai_calls import call
from tests.models.server import PostgresServer


def _upgrade_to(connection: Connection, revision: str) -> None:
    config = migrations._config()  # pyright: ignore[reportPrivateUsage]
    config.attributes["connection"] = connection
    command.upgrade(config, revision)
    connection.commit()


async def test_rows_of_the_schema_before_ai_models_stay_and_ai_calls_can_be_made_after(
    postgres: PostgresServer,
) -> None:
    name = f"old-{uuid4().hex[:8]}"
    await postgres.create_database(name)
    engine = create_async_engine(sqlalchemy_url(postgres.url("structforge_owner", name)))
    async with engine.connect() as connection:
        await connection.run_sync(_upgrade_to, "0003")
    await ensure_partitions(engine, months_ahead=1)
    await engine.dispose()

    tenant, executions = mint_tenant(uuid4()), [uuid4() for _ in range(3)]
    old = await asyncpg.connect(postgres.url("structforge_app", name))
    async with old.transaction():
        await old.execute("SELECT set_config('structforge.tenants', $1, true)", f"{{{tenant}}}")
        for execution in executions:
            await old.execute(
                "INSERT INTO execution (tenant_id, id, workflow_id, version_id, workflow_name)"
                " VALUES ($1, $2, $3, $3, 'w')",
                *(tenant.uuid, execution, uuid4()),
            )
            await old.execute(
                "INSERT INTO node_execution"
                " (tenant_id, execution_id, node_path, iteration, generation, node_type, status)"
                " VALUES ($1, $2, 'n', '{}', 0, 'http', 'success')",
                *(tenant.uuid, execution),
            )
    await old.close()

    assert (await upgrade(postgres.url("structforge_owner", name)))[0] == "0004"
    database = await Database.open(postgres.url("structforge_app", name), pool_size=2)
    try:
        async with database.transaction(tenant) as transaction:
            for table in ("execution", "node_execution"):
                assert await transaction.fetchval(f"SELECT count(*) FROM {table}") == 3
        assert isinstance(await AiCalls(database).reserve(tenant, call(executions[0])), Reserved)
        assert await make_execution(database, tenant)
    finally:
        await database.close()
