"""Transactions that are made one."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import asyncpg
import pytest

from models.repositories.folders import Folders
from models.repositories.tenants import Tenants
from models.session import Database
from models.tenancy import TenantId, mint_tenant


class Stopped(Exception):
    pass


async def _names(database: Database, tenant: TenantId) -> set[str]:
    return {folder.name for folder in await Folders(database).all(tenant)}


async def test_an_error_undoes_all_of_them(database: Database, tenant: TenantId) -> None:
    async def stopped() -> None:
        async with database.joined():
            await Folders(database).create(tenant, "first", None)
            await Folders(database).create(tenant, "second", None)
            raise Stopped

    with pytest.raises(Stopped):
        await stopped()

    assert await _names(database, tenant) == set()


async def test_a_part_that_failed_and_was_caught_leaves_the_others(database: Database, tenant: TenantId) -> None:
    async with database.joined():
        await Folders(database).create(tenant, "first", None)
        with pytest.raises(asyncpg.DivisionByZeroError):
            async with database.transaction(tenant) as transaction:
                await transaction.execute("SELECT 1 / 0")
        await Folders(database).create(tenant, "second", None)

    assert await _names(database, tenant) == {"first", "second"}


async def test_nobody_sees_them_before_the_end(database: Database, tenant: TenantId) -> None:
    async with database.joined():
        await Folders(database).create(tenant, "first", None)
        assert await _names(database, tenant) == {"first"}
        # Another task has a connection of its own, inside the block too.
        assert await asyncio.create_task(_names(database, tenant)) == set()

    assert await _names(database, tenant) == {"first"}


async def test_each_part_sees_its_own_tenant_alone(database: Database, tenant: TenantId) -> None:
    other = mint_tenant(uuid4())
    await Tenants(database).ensure(other, "another")
    count = "SELECT count(*) FROM folder"
    async with database.joined():
        await Folders(database).create(tenant, "ours", None)
        async with database.transaction(tenant) as ours:
            async with database.transaction(other) as theirs:
                assert await theirs.fetchval(count) == 0
            assert await ours.fetchval(count) == 1
        async with database.connection() as bare:
            assert await bare.fetchval(count) == 0


async def test_more_of_them_at_once_than_there_are_connections_all_come_to_an_end(
    database: Database, tenant: TenantId
) -> None:
    async def work(number: int) -> None:
        async with database.joined():
            await Folders(database).create(tenant, f"folder {number}", None)
            await asyncio.create_task(_names(database, tenant))  # needs a second connection

    async with asyncio.timeout(30):
        await asyncio.gather(*(work(number) for number in range(40)))

    assert len(await _names(database, tenant)) == 40
