"""Fixtures over real servers: a migrated database, a tenant of its own for each test, a Valkey server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from uuid import UUID, uuid4

import pytest
import pytest_asyncio

from models.migrations import upgrade
from models.repositories.executions import Executions, NewExecution
from models.session import Database
from models.tenancy import TenantId, mint_tenant
from tests.models.server import PostgresServer, ValkeyServer


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A running server; the database `structforge` on it is migrated."""
    server = PostgresServer()
    try:
        server.initialise()
        server.start()
        asyncio.run(_prepare(server))
        yield server
    finally:
        server.remove()


async def _prepare(server: PostgresServer) -> None:
    await server.wait_ready()
    await server.create_roles()
    await server.create_database("structforge")
    await upgrade(server.url("structforge_owner", "structforge"))


@pytest.fixture(scope="session")
def valkey() -> Iterator[ValkeyServer]:
    server = ValkeyServer()
    server.start()
    yield server
    server.stop()


@pytest_asyncio.fixture
async def database(postgres: PostgresServer) -> AsyncIterator[Database]:
    opened = await Database.open(postgres.url("structforge_app", "structforge"), pool_size=5)
    yield opened
    await opened.close()


@pytest.fixture
def tenant() -> TenantId:
    return mint_tenant(uuid4())


async def make_execution(database: Database, tenant: TenantId) -> UUID:
    """A pending execution of no workflow in particular."""
    created = await Executions(database).create_execution(tenant, NewExecution(uuid4(), uuid4(), "w"))
    return created.execution.id
