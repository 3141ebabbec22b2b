"""The wall around accounts: the policies hold, whatever a repository asks for."""

from __future__ import annotations

from uuid import uuid4

import asyncpg
import pytest

from models.repositories.api_keys import hash_secret
from models.repositories.login_sessions import LoginSessions
from models.repositories.memberships import Memberships
from models.repositories.users import Users
from models.session import Database
from models.tenancy import TenantId, mint_tenant
from tests.models.server import PostgresServer


async def _somebody(database: Database, tenant: TenantId) -> tuple[str, object]:
    user, made = await Users(database).ensure(f"{uuid4().hex}@People.test")
    assert made
    await Memberships(database).ensure(tenant, user.id, "member")
    return user.email, user.id


async def test_without_a_secret_no_account_is_seen(
    postgres: PostgresServer, database: Database, tenant: TenantId
) -> None:
    await _somebody(database, tenant)
    connection = await asyncpg.connect(postgres.url("structforge_app", "structforge"))
    counts = [await connection.fetchval(f"SELECT count(*) FROM {name}") for name in ("user_account", "oidc_identity")]
    await connection.close()
    assert counts == [0, 0]


async def test_sign_in_sees_the_one_account_that_it_names(database: Database, tenant: TenantId) -> None:
    email, _ = await _somebody(database, tenant)
    await _somebody(database, tenant)
    async with database.transaction(purpose="sign_in", sign_in=email) as transaction:
        assert await transaction.fetchval("SELECT array_agg(email) FROM user_account") == [email]
    async with database.transaction(purpose="sign_in") as transaction:
        assert await transaction.fetchval("SELECT count(*) FROM user_account") == 0


async def test_a_tenant_sees_the_accounts_of_its_members_and_changes_none(database: Database, tenant: TenantId) -> None:
    email, _ = await _somebody(database, tenant)
    await _somebody(database, mint_tenant(uuid4()))
    async with database.transaction(tenant) as transaction:
        assert await transaction.fetchval("SELECT array_agg(email) FROM user_account") == [email]
        assert await transaction.execute("UPDATE user_account SET display_name = 'x'") == "UPDATE 0"
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with database.transaction(tenant) as transaction:
            await transaction.execute("INSERT INTO user_account (id, email) VALUES ($1, 'x@y.test')", uuid4())


async def test_an_address_has_one_account_in_whatever_letters(database: Database) -> None:
    name = uuid4().hex
    first, _ = await Users(database).ensure(f"{name}@People.test")
    second, made = await Users(database).ensure(f" {name.upper()}@people.TEST ")
    assert (second.id, made) == (first.id, False)


async def test_a_password_changed_meanwhile_is_not_overwritten(database: Database) -> None:
    users = Users(database)
    user, _ = await users.ensure(f"{uuid4().hex}@people.test")
    assert await users.change_password(user.id, "first", old_hash=None)
    assert not await users.change_password(user.id, "second", old_hash=None)


async def test_refresh_tokens_are_stored_as_hashes_alone(database: Database, tenant: TenantId) -> None:
    from datetime import UTC, datetime, timedelta

    user, _ = await Users(database).ensure(f"{uuid4().hex}@people.test")
    end = datetime.now(UTC) + timedelta(hours=1)
    session, token = await LoginSessions(database).open(tenant, user.id, "password", end)
    family, secret = token.removeprefix("sfr_").split(".")
    assert (session.family_hash, session.token_hash) == (hash_secret(family), hash_secret(secret))


async def test_a_session_that_is_over_is_not_refreshed(database: Database, tenant: TenantId) -> None:
    from datetime import UTC, datetime, timedelta

    user, _ = await Users(database).ensure(f"{uuid4().hex}@people.test")
    sessions = LoginSessions(database)
    _, token = await sessions.open(tenant, user.id, "password", datetime.now(UTC) - timedelta(seconds=1))
    assert await sessions.rotate(token) is None
