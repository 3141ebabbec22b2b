"""Orphans go, and nothing that a row or a running execution may still refer to."""

from __future__ import annotations

import os
import time
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest

from engine.activities.clients.objects import ObjectStore, object_path
from engine.activities.upkeep.sweeping import Sweeper, Swept
from models.repositories.executions import Executions, NewExecution
from models.repositories.node_executions import NodeExecutions
from models.repositories.tenants import Tenants
from models.rows import NodeRow
from models.session import Database
from models.tenancy import TenantId, mint_tenant
from tests.engine.activities.upkeep.rows import finish

OLD_S = 30 * 86_400


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "objects"


@pytest.fixture
def objects(folder: Path) -> ObjectStore:
    return ObjectStore.open(folder.as_uri())


@pytest.fixture
def sweeper(database: Database, objects: ObjectStore) -> Sweeper:
    return Sweeper(database, objects, timedelta(days=7))


async def stored(objects: ObjectStore, folder: Path, tenant: TenantId, *, age_s: float = OLD_S) -> str:
    sha256 = await objects.put(tenant, uuid4().bytes)
    at = time.time() - age_s
    os.utime(folder / object_path(tenant, sha256), (at, at))
    return sha256


async def test_old_orphans_go_and_young_and_referred_objects_stay(
    database: Database, tenant: TenantId, objects: ObjectStore, folder: Path, sweeper: Sweeper
) -> None:
    orphans = [await stored(objects, folder, tenant) for _ in range(40)]
    young = await stored(objects, folder, tenant, age_s=60)
    given, made = [await stored(objects, folder, tenant) for _ in range(2)]
    new = NewExecution(uuid4(), uuid4(), "w", input={"r": given, "n": 9, "t": "json"})
    await Executions(database).create_execution(tenant, new)
    output = {"o": {"a": {"l": [{"v": 1, "n": 1}, {"r": made, "n": 9, "t": "json"}]}}}
    await NodeExecutions(database).write([NodeRow(tenant, new.id, "a", "http", "success", output=output)])
    await finish(database, tenant, new.id)

    assert await sweeper.sweep(tenant) == Swept(43, 40)
    assert [await objects.exists(tenant, one) for one in [*orphans, young, given, made]] == [False] * 40 + [True] * 3
    assert await sweeper.sweep(tenant) == Swept(3, 0)


async def test_what_was_written_since_an_open_execution_was_made_stays_until_it_is_over(
    database: Database, tenant: TenantId, objects: ObjectStore, folder: Path, sweeper: Sweeper
) -> None:
    older = await stored(objects, folder, tenant, age_s=2 * OLD_S)
    held = await stored(objects, folder, tenant, age_s=OLD_S)  # stands in no row, only in Temporal's history
    new = NewExecution(uuid4(), uuid4(), "w")
    await Executions(database).create_execution(tenant, new)
    async with database.transaction(tenant) as transaction:
        query = "UPDATE execution SET created_at = now() - interval '40 days' WHERE tenant_id = $1 AND id = $2"
        await transaction.execute(query, tenant.uuid, new.id)

    assert await sweeper.sweep(tenant) == Swept(2, 1)
    assert (await objects.exists(tenant, older), await objects.exists(tenant, held)) == (False, True)
    await finish(database, tenant, new.id)
    assert await sweeper.sweep(tenant) == Swept(1, 1)


async def test_an_object_that_is_written_again_while_the_sweeper_works_stays(
    database: Database, tenant: TenantId, objects: ObjectStore, folder: Path, sweeper: Sweeper
) -> None:
    class Rewriting(ObjectStore):
        """Somebody stores the same bytes between the listing and the removal."""

        async def objects_of(self, tenant: TenantId, digits: str):
            found = await objects.objects_of(tenant, digits)
            for name, _ in found:
                os.utime(folder / object_path(tenant, name))
            return found

    sha256 = await stored(objects, folder, tenant)
    sweeper.objects = Rewriting(objects._store)  # pyright: ignore[reportPrivateUsage]  # the same store
    assert (await sweeper.sweep(tenant)).removed == 0
    assert await objects.exists(tenant, sha256)


async def test_each_tenant_is_swept_for_itself(
    database: Database, tenant: TenantId, objects: ObjectStore, folder: Path, sweeper: Sweeper
) -> None:
    await Tenants(database).ensure(tenant, str(tenant))
    stranger = await Tenants(database).create(f"stranger {uuid4()}")

    other = mint_tenant(stranger.id)
    shared = await stored(objects, folder, tenant)
    copy = folder / object_path(other, shared)
    copy.parent.mkdir(parents=True)
    copy.write_bytes((folder / object_path(tenant, shared)).read_bytes())
    os.utime(copy, (time.time() - OLD_S,) * 2)
    new = NewExecution(uuid4(), uuid4(), "w", input={"r": shared, "n": 9, "t": "json"})
    await Executions(database).create_execution(tenant, new)
    await finish(database, tenant, new.id)

    assert (await sweeper.run_once()).removed == 1
    assert (await objects.exists(tenant, shared), await objects.exists(other, shared)) == (True, False)
