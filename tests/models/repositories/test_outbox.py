import asyncio
from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from engine.errors import NotFound
from models.repositories.outbox import FINISHED, Failure, OutboxMessages
from models.session import Database
from models.tenancy import TenantId, mint_tenant

LEASE = timedelta(seconds=30)


async def _add(database: Database, tenant: TenantId, kind: str, payload: dict[str, object]) -> None:
    async with database.transaction(tenant) as transaction:
        await OutboxMessages.add(transaction, tenant, kind, payload)


async def _rows(database: Database, tenant: TenantId) -> dict[UUID, tuple[bool, int]]:
    """By id: whether it is delivered, and how often its delivery was begun."""
    async with database.transaction(tenant) as transaction:
        records = await transaction.fetch("SELECT id, delivered_at, attempts FROM outbox")
    return {record["id"]: (record["delivered_at"] is not None, record["attempts"]) for record in records}


async def test_message_is_claimed_by_one_dispatcher_and_delivered_once(database: Database, tenant: TenantId) -> None:
    outbox, kind = OutboxMessages(database), f"notify-{tenant}"
    await _add(database, tenant, kind, {"a": 1})
    first, second = await asyncio.gather(outbox.claim([kind], LEASE), outbox.claim([kind], LEASE))
    assert [message.payload for message in [*first, *second]] == [{"a": 1}]
    (message,) = [*first, *second]
    await outbox.settle([message.id], [], [])
    assert await _rows(database, tenant) == {message.id: (True, 1)}
    assert await outbox.claim([kind], timedelta(0)) == []
    assert await outbox.forget(timedelta(0)) >= 1


async def test_message_whose_claim_ran_out_is_due_again(database: Database, tenant: TenantId) -> None:
    outbox, kind = OutboxMessages(database), f"notify-{tenant}"
    await _add(database, tenant, kind, {})
    (message,) = await outbox.claim([kind], timedelta(0))
    (again,) = await outbox.claim([kind], LEASE)
    assert (again.id, again.attempts) == (message.id, 2)


async def test_message_that_is_given_back_is_due_at_once_and_counts_no_attempt(
    database: Database, tenant: TenantId
) -> None:
    outbox, kind = OutboxMessages(database), f"notify-{tenant}"
    await _add(database, tenant, kind, {})
    (message,) = await outbox.claim([kind], LEASE)
    await outbox.settle([], [], [message.id])
    (again,) = await outbox.claim([kind], LEASE)
    assert again.attempts == 1


async def test_parked_message_is_shown_to_its_tenant_alone_and_may_be_asked_for_again(
    database: Database, tenant: TenantId
) -> None:
    outbox, kind, other = OutboxMessages(database), f"notify-{tenant}", mint_tenant(uuid4())
    await _add(database, tenant, kind, {})
    (message,) = await outbox.claim([kind], LEASE)
    await outbox.settle([], [Failure(message.id, "no", parked=True)], [])
    assert await outbox.claim([kind], LEASE) == []
    assert (await outbox.counts())[1] >= 1
    assert [(one.id, one.failure) for one in await outbox.parked(tenant)] == [(message.id, "no")]
    assert await outbox.parked(other) == []
    with pytest.raises(NotFound):
        await outbox.retry(other, message.id)
    await outbox.retry(tenant, message.id)
    assert [one.id for one in await outbox.claim([kind], LEASE)] == [message.id]


async def test_end_of_an_execution_is_kept_only_for_who_waits_for_it(database: Database, tenant: TenantId) -> None:
    outbox, heard, unheard = OutboxMessages(database), uuid4(), uuid4()
    for workflow in (heard, unheard):
        await _add(database, tenant, FINISHED, {"workflow_id": str(workflow), "status": "failed"})
    await outbox.listen(tenant, "test", workflow_id=heard)
    await outbox.listen(tenant, "test", workflow_id=heard)

    assert await outbox.settle_unheard() >= 1
    left = await _undelivered(database, tenant)
    assert [message["workflow_id"] for message in left] == [str(heard)]

    await outbox.unlisten(tenant, "test", workflow_id=heard)
    await outbox.settle_unheard()
    assert await _undelivered(database, tenant) == []


async def test_message_of_an_unknown_kind_is_left_to_newer_processes(database: Database, tenant: TenantId) -> None:
    outbox = OutboxMessages(database)
    await _add(database, tenant, "of-tomorrow", {"n": 1})
    await outbox.settle_unheard()
    await outbox.settle_unknown([FINISHED])
    assert await _undelivered(database, tenant) == [{"n": 1}]
    async with database.transaction(tenant) as transaction:
        await transaction.execute("UPDATE outbox SET next_try = now() - interval '2 hours'")
    await outbox.settle_unknown([FINISHED])
    assert await _undelivered(database, tenant) == []


async def _undelivered(database: Database, tenant: TenantId) -> list[dict[str, object]]:
    async with database.transaction(tenant) as transaction:
        records = await transaction.fetch("SELECT payload FROM outbox WHERE delivered_at IS NULL")
    return [record["payload"] for record in records]


async def test_message_of_a_transaction_that_failed_does_not_exist(database: Database, tenant: TenantId) -> None:
    class Stop(Exception):
        pass

    try:
        async with database.transaction(tenant) as transaction:
            await OutboxMessages.add(transaction, tenant, "notify", {})
            raise Stop
    except Stop:
        pass
    async with database.transaction(tenant) as transaction:
        assert await transaction.fetchval("SELECT count(*) FROM outbox") == 0
