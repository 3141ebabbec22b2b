"""Webhooks of workflows that were published before there was a table of them."""

from __future__ import annotations

import json
from uuid import UUID, uuid4

import asyncpg
from sqlalchemy.ext.asyncio import create_async_engine

from models.ids import new_id
from models.migrations import sqlalchemy_url, upgrade
from models.repositories.hooks import Hooks
from models.session import Database
from models.tenancy import TenantId, mint_tenant
from tests.models.server import PostgresServer
from tests.models.test_ai_migration import _upgrade_to  # pyright: ignore[reportPrivateUsage]


async def _insert(old: asyncpg.Connection[asyncpg.Record], tenant: TenantId, name: str, path: str, status: str) -> UUID:
    workflow = new_id()
    spec = {"name": name, "nodes": [{"id": "call", "type": "webhook", "params": {"path": path, "method": "put"}}]}
    await old.execute(
        "INSERT INTO workflow (tenant_id, id, name, status, latest_version, published_version)"
        " VALUES ($1, $2, $3, $4, 1, 1)",
        *(tenant.uuid, workflow, name, status),
    )
    await old.execute(
        "INSERT INTO workflow_version (tenant_id, id, workflow_id, number, spec, digest)"
        " VALUES ($1, $2, $3, 1, $4, '')",
        *(tenant.uuid, uuid4(), workflow, json.dumps(spec)),
    )
    return workflow


async def test_published_workflows_have_their_addresses_and_of_two_the_older_keeps_it(postgres: PostgresServer) -> None:
    name = f"old-{uuid4().hex[:8]}"
    await postgres.create_database(name)
    engine = create_async_engine(sqlalchemy_url(postgres.url("structforge_owner", name)))
    async with engine.connect() as connection:
        await connection.run_sync(_upgrade_to, "0013")
    await engine.dispose()

    tenant = mint_tenant(uuid4())
    old = await asyncpg.connect(postgres.url("structforge_app", name))
    async with old.transaction():
        await old.execute("SELECT set_config('structforge.tenants', $1, true)", f"{{{tenant}}}")
        await old.execute("INSERT INTO tenant (id, name) VALUES ($1, 'shop')", tenant.uuid)
        first = await _insert(old, tenant, "first", "/orders", "active")
        await _insert(old, tenant, "second", "orders", "active")
        paused = await _insert(old, tenant, "third", "paused", "paused")
        await _insert(old, tenant, "fourth", "gone", "archived")
    await old.close()

    assert (await upgrade(postgres.url("structforge_owner", name)))[0] == "0014"
    database = await Database.open(postgres.url("structforge_app", name), pool_size=2)
    hooks = Hooks(database)
    (found,) = await hooks.find("shop", "orders")
    assert (found.tenant_id, found.workflow_id, found.method, found.node) == (tenant.uuid, first, "PUT", "call")
    assert await hooks.find(str(tenant), "paused") == []
    assert [row.path for row in await hooks.of_workflow(tenant, paused)] == ["paused"]
    assert await hooks.find(str(tenant), "gone") == []
    await database.close()
