from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from engine.errors import NotFound
from models.repositories.api_keys import ApiKeys, hash_secret
from models.session import Database
from models.tenancy import TenantId, mint_tenant


async def test_key_is_found_by_its_secret_alone_and_its_secret_is_not_stored(
    database: Database, tenant: TenantId
) -> None:
    keys = ApiKeys(database)
    made, secret = await keys.create(tenant, "ci", scopes=["executions:write"])
    found = await keys.find(secret)
    assert found is not None
    assert (found.id, found.tenant_id, found.scopes) == (made.id, tenant.uuid, ["executions:write"])
    assert secret not in repr(found.model_dump())
    assert await keys.find(secret + "x") is None


async def test_sign_in_shows_the_one_row_whose_secret_is_known(database: Database, tenant: TenantId) -> None:
    keys = ApiKeys(database)
    _, secret = await keys.create(tenant, "one")
    await keys.create(tenant, "two")
    async with database.transaction(purpose="sign_in", sign_in=hash_secret(secret)) as transaction:
        assert await transaction.fetchval("SELECT count(*) FROM api_key") == 1
        assert await transaction.execute("UPDATE api_key SET name = 'taken'") == "UPDATE 0"
    async with database.transaction(purpose="sign_in") as transaction:
        assert await transaction.fetchval("SELECT count(*) FROM api_key") == 0


async def test_expired_and_revoked_keys_are_not_found(database: Database, tenant: TenantId) -> None:
    keys = ApiKeys(database)
    _, expired = await keys.create(tenant, "old", expires_at=datetime.now(UTC) - timedelta(seconds=1))
    made, revoked = await keys.create(tenant, "gone")
    assert await keys.revoke(tenant, made.id)
    assert not await keys.revoke(tenant, made.id)
    assert await keys.find(expired) is None
    assert await keys.find(revoked) is None


async def test_registering_a_secret_twice_keeps_one_key_and_its_owner(database: Database, tenant: TenantId) -> None:
    keys, secret = ApiKeys(database), f"sf_{uuid4()}"
    first = await keys.register(tenant, "first", secret)
    second = await keys.register(tenant, "again", secret)
    assert first.id == second.id
    with pytest.raises(NotFound):
        await keys.register(mint_tenant(uuid4()), "thief", secret)


async def test_use_is_noted_once_a_minute(database: Database, tenant: TenantId) -> None:
    keys = ApiKeys(database)
    made, _ = await keys.create(tenant, "ci")
    await keys.touch(tenant, made.id)
    [first] = await keys.list(tenant)
    await keys.touch(tenant, made.id)
    [second] = await keys.list(tenant)
    assert first.last_used_at is not None
    assert first.last_used_at == second.last_used_at


async def test_quote_in_a_sign_in_name_is_only_text(database: Database) -> None:
    async with database.transaction(purpose="sign_in", sign_in="x' || 'y\x00") as transaction:
        assert await transaction.fetchval("SELECT structforge_sign_in()") == "x' || 'y"
