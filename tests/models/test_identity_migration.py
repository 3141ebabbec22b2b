"""People of the version before: each tenant had its own rows, and nobody had a role."""

from __future__ import annotations

from uuid import UUID

import asyncpg
from alembic import command

from models.migrations import _config, sqlalchemy_url, upgrade  # pyright: ignore[reportPrivateUsage]
from models.repositories.memberships import Memberships
from models.repositories.users import Users
from models.session import Database
from models.tenancy import mint_tenant
from tests.models.server import PostgresServer

ONE, TWO = UUID(int=1), UUID(int=2)
ADA, BOB, ADA_AGAIN = UUID(int=11), UUID(int=12), UUID(int=21)


async def _migrate_to(url: str, revision: str) -> None:
    from sqlalchemy import Connection
    from sqlalchemy.ext.asyncio import create_async_engine

    def run(connection: Connection) -> None:
        config = _config()
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
        connection.commit()

    engine = create_async_engine(sqlalchemy_url(url))
    async with engine.connect() as connection:
        await connection.run_sync(run)
    await engine.dispose()


async def test_people_become_accounts_with_memberships_and_each_tenant_keeps_an_administrator(
    postgres: PostgresServer,
) -> None:
    await postgres.create_database("people")
    owner = postgres.url("structforge_owner", "people")
    await _migrate_to(owner, "0006")
    connection = await asyncpg.connect(postgres.url("postgres", "people"))
    for tenant, user, email in ((ONE, ADA, "ada@x.test"), (ONE, BOB, "bob@x.test"), (TWO, ADA_AGAIN, "Ada@x.test")):
        await connection.execute("INSERT INTO app_user (tenant_id, id, email) VALUES ($1, $2, $3)", tenant, user, email)
    for tenant in (ONE, TWO):
        await connection.execute("INSERT INTO tenant (id, name) VALUES ($1, $2)", tenant, f"tenant {tenant.int}")
    await connection.close()

    await upgrade(owner)

    database = await Database.open(postgres.url("structforge_app", "people"), pool_size=2)
    ada, bob = [await Users(database).find(email) for email in ("ada@x.test", "bob@x.test")]
    assert ada is not None
    assert bob is not None
    assert (ada.id, bob.id) == (ADA, BOB)
    of_ada = [(one.tenant_id, one.role) for one in await Memberships(database).of_user(ADA)]
    of_bob = [(one.tenant_id, one.role) for one in await Memberships(database).of_user(BOB)]
    assert sorted(of_ada) == [(ONE, "admin"), (TWO, "admin")]
    assert of_bob == [(ONE, "member")]
    standing = await Memberships(database).standing(mint_tenant(TWO), ADA)
    assert standing is not None
    assert standing.email == "ada@x.test"
    await database.close()
