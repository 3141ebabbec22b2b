from datetime import timedelta

from models.repositories.outbox import OutboxMessages
from models.session import Database
from models.tenancy import TenantId


async def test_message_is_claimed_by_one_relay_and_delivered_once(database: Database, tenant: TenantId) -> None:
    outbox = OutboxMessages(database)
    async with database.transaction(tenant) as transaction:
        await outbox.add(transaction, tenant, "notify", {"a": 1})
    async with outbox.claim(1000) as first, outbox.claim(1000) as second:
        mine = [message for message in first.messages if message.tenant_id == tenant.uuid]
        assert [(message.kind, message.payload) for message in mine] == [("notify", {"a": 1})]
        assert not [message for message in second.messages if message.tenant_id == tenant.uuid]
        first.mark_delivered(mine[0])
    async with outbox.claim(1000) as later:
        assert not [message for message in later.messages if message.tenant_id == tenant.uuid]
    assert await outbox.forget(timedelta(0)) >= 1


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
