import asyncio
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from engine.errors import Conflict, NotFound
from models.ids import id_of_fire, new_id
from models.repositories.executions import Executions, IdempotentRequest, NewExecution
from models.repositories.idempotency import IdempotencyKeys
from models.repositories.quotas import Quotas
from models.session import Database
from models.tenancy import TenantId, mint_tenant


def new(workflow_id: UUID | None = None, **fields: object) -> NewExecution:
    return NewExecution(workflow_id or uuid4(), uuid4(), "orders", **fields)  # type: ignore[arg-type]


async def count(database: Database, tenant: TenantId, table: str) -> int:
    async with database.transaction(tenant) as transaction:
        return await transaction.fetchval(f"SELECT count(*) FROM {table}")


async def counter(database: Database, tenant: TenantId) -> int | None:
    async with database.transaction(tenant) as transaction:
        return await transaction.fetchval("SELECT value FROM quota_counter")


async def test_created_execution_is_pending_and_reads_back_as_given(database: Database, tenant: TenantId) -> None:
    wanted = new(input={"v": {"a": 1}, "n": 7}, trigger="webhook", priority=1, labels={"team": "ops"}, node_total=4)
    created = await Executions(database).create_execution(tenant, wanted)
    read = await Executions(database).get(tenant, wanted.id)
    assert created.is_new
    assert (read.status, read.trigger, read.priority, read.node_total) == ("pending", "webhook", 1, 4)
    assert (read.input, read.labels, read.output) == ({"v": {"a": 1}, "n": 7}, {"team": "ops"}, None)
    assert read.created_at.tzinfo is not None


async def test_ten_identical_requests_at_once_make_one_execution(database: Database, tenant: TenantId) -> None:
    request = IdempotentRequest("execute", "key-1", b"digest")
    calls = (Executions(database).create_execution(tenant, new(), request=request) for _ in range(10))
    answers = await asyncio.gather(*calls)
    assert sorted(answer.is_new for answer in answers) == [False] * 9 + [True]
    assert len({answer.execution.id for answer in answers}) == 1
    assert await count(database, tenant, "execution") == 1
    assert await count(database, tenant, "idempotency_key") == 1


async def test_used_key_with_another_request_is_a_conflict(database: Database, tenant: TenantId) -> None:
    executions = Executions(database)
    await executions.create_execution(tenant, new(), request=IdempotentRequest("execute", "k", b"one"))
    with pytest.raises(Conflict, match="another request"):
        await executions.create_execution(tenant, new(), request=IdempotentRequest("execute", "k", b"two"))
    other_kind = await executions.create_execution(tenant, new(), request=IdempotentRequest("hook", "k", b"two"))
    assert other_kind.is_new


async def test_same_key_of_two_tenants_makes_two_executions(database: Database, tenant: TenantId) -> None:
    request = IdempotentRequest("execute", "shared", b"digest")
    first = await Executions(database).create_execution(tenant, new(), request=request)
    second = await Executions(database).create_execution(mint_tenant(uuid4()), new(), request=request)
    assert first.is_new
    assert second.is_new


async def test_two_starts_of_one_fire_collapse_on_the_id(database: Database, tenant: TenantId) -> None:
    fire = id_of_fire(datetime.now(UTC), "schedule-7")
    first = await Executions(database).create_execution(tenant, new(id=fire))
    second = await Executions(database).create_execution(tenant, new(id=fire))
    assert (first.is_new, second.is_new) == (True, False)
    assert await count(database, tenant, "execution") == 1


async def test_full_quota_is_a_conflict_that_leaves_nothing_behind(database: Database, tenant: TenantId) -> None:
    executions = Executions(database)
    await Quotas(database).put(tenant, "tenant", "executions", "month", 2)
    calls = (executions.create_execution(tenant, new()) for _ in range(5))
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    refused = [outcome for outcome in outcomes if isinstance(outcome, Conflict)]
    assert [refusal.code for refusal in refused] == ["QUOTA_EXCEEDED"] * 3
    assert await count(database, tenant, "execution") == 2
    assert await counter(database, tenant) == 2


async def test_another_tenants_execution_is_not_found(database: Database, tenant: TenantId) -> None:
    created = await Executions(database).create_execution(tenant, new())
    with pytest.raises(NotFound):
        await Executions(database).get(mint_tenant(uuid4()), created.execution.id)


async def test_running_and_paused_only_while_the_execution_lasts(database: Database, tenant: TenantId) -> None:
    executions, wanted = Executions(database), new()
    await executions.create_execution(tenant, wanted)
    assert not await executions.mark_paused(tenant, wanted.id, paused=True), "still pending"
    assert await executions.mark_running(tenant, wanted.id, node_total=3)
    assert await executions.mark_paused(tenant, wanted.id, paused=True)
    assert not await executions.mark_running(tenant, wanted.id), "a late start must not resume it"
    assert await executions.mark_paused(tenant, wanted.id, paused=False)
    read = await executions.get(tenant, wanted.id)
    assert (read.status, read.node_total) == ("running", 3)
    assert not await executions.mark_running(tenant, uuid4())


async def test_relay_sees_stranded_starts_of_every_tenant_and_nothing_else(
    database: Database, tenant: TenantId
) -> None:
    executions, stranger = Executions(database), mint_tenant(uuid4())
    mine, theirs, running = new(), new(), new()
    await executions.create_execution(tenant, mine)
    await executions.create_execution(stranger, theirs)
    await executions.create_execution(tenant, running)
    await executions.mark_running(tenant, running.id)
    found = {execution.id: execution for execution in await executions.pending_starts(timedelta(0), limit=1000)}
    assert {mine.id, theirs.id} <= set(found)
    assert running.id not in found
    assert found[theirs.id].tenant_id == stranger.uuid
    assert mine.id not in {e.id for e in await executions.pending_starts(timedelta(hours=1), limit=1000)}
    open_ids = {execution.id for execution in await executions.open_executions(timedelta(0), limit=5000)}
    assert {mine.id, theirs.id, running.id} <= open_ids


async def test_old_idempotency_keys_are_forgotten(database: Database, tenant: TenantId) -> None:
    request = IdempotentRequest("execute", "old", b"d")
    created = await Executions(database).create_execution(tenant, new(id=new_id()), request=request)
    keys = IdempotencyKeys(database)
    found = await keys.find(tenant, "execute", "old")
    assert found is not None
    assert found.execution_id == created.execution.id
    assert await keys.forget(timedelta(hours=1)) == 0
    assert await keys.forget(timedelta(0)) >= 1
    assert await keys.find(tenant, "execute", "old") is None
