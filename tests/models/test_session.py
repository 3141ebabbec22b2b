from uuid import uuid4

import asyncpg
import pytest

from engine.errors import SystemFault
from models.repositories.workflows import Workflows
from models.session import Database, plain_url
from models.tenancy import TenantId, mint_tenant
from tests.models.fixtures import make_execution
from tests.models.server import PostgresServer, free_port

OWNED = [
    "app_user",
    "api_key",
    "membership",
    "login_session",
    "workflow",
    "workflow_version",
    "execution",
    "node_execution",
    "execution_log",
    "idempotency_key",
    "outbox",
    "outbox_interest",
    "event",
    "event_trigger",
    "event_start",
    "quota_counter",
    "quota",
    "waiting_execution",
    "ai_model",
    "ai_budget",
    "ai_call",
    "ai_spend",
    "approval",
    "workflow_grant",
    "share_link",
    "audit_entry",
    "folder",
    "workflow_tag",
    "template",
    "bulk_request",
    "credential",
    "credential_use",
    "idempotent_reply",
    "workflow_call",
    "schedule",
    "hook",
    "hook_nonce",
    "notification_rule",
    "notification",
    "quota_notice",
]


async def test_application_role_has_no_way_around_the_policies(postgres: PostgresServer) -> None:
    connection = await asyncpg.connect(postgres.url("postgres", "structforge"))
    role = await connection.fetchrow("SELECT * FROM pg_roles WHERE rolname = 'structforge_app'")
    owned = await connection.fetchval(
        "SELECT count(*) FROM pg_class WHERE relowner = 'structforge_app'::regrole OR relowner = 'postgres'::regrole"
        " AND relnamespace = 'public'::regnamespace"
    )
    await connection.close()
    assert role is not None
    assert not role["rolsuper"]
    assert not role["rolbypassrls"]
    assert not role["rolcreaterole"]
    assert owned == 0


async def test_every_table_of_a_tenant_forces_row_level_security(postgres: PostgresServer) -> None:
    connection = await asyncpg.connect(postgres.url("postgres", "structforge"))
    rows = await connection.fetch(
        "SELECT c.relname, c.relrowsecurity, c.relforcerowsecurity, c.relispartition FROM pg_class c"
        " JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'tenant_id'"
        " WHERE c.relkind IN ('r', 'p') AND c.relnamespace = 'public'::regnamespace"
    )
    await connection.close()
    assert {row["relname"] for row in rows if not row["relispartition"]} == set(OWNED)
    assert all(row["relrowsecurity"] for row in rows), "partitions too"
    assert all(row["relforcerowsecurity"] for row in rows if not row["relispartition"])


async def test_partitions_cannot_be_read_directly_by_the_application(postgres: PostgresServer) -> None:
    connection = await asyncpg.connect(postgres.url("postgres", "structforge"))
    granted = await connection.fetch(
        "SELECT relname FROM pg_class WHERE relispartition AND relkind IN ('r', 'p')"
        " AND has_table_privilege('structforge_app', oid, 'SELECT, INSERT, UPDATE, DELETE, TRUNCATE')"
    )
    partitions = await connection.fetchval("SELECT count(*) FROM pg_class WHERE relispartition AND relkind = 'r'")
    await connection.close()
    assert partitions >= 15  # three tables, each four months and a default
    assert granted == []


async def test_without_a_tenant_raw_sql_sees_no_row(
    postgres: PostgresServer, database: Database, tenant: TenantId
) -> None:
    await make_execution(database, tenant)
    await Workflows(database).create(tenant, {"name": "mine", "nodes": []})
    connection = await asyncpg.connect(postgres.url("structforge_app", "structforge"))
    counts = [await connection.fetchval(f"SELECT count(*) FROM {table}") for table in [*OWNED, "tenant"]]
    await connection.close()
    assert counts == [0] * (len(OWNED) + 1)


async def test_another_tenants_rows_can_be_neither_seen_nor_changed_nor_made(
    database: Database, tenant: TenantId
) -> None:
    execution_id = await make_execution(database, tenant)
    stranger = mint_tenant(uuid4())
    async with database.transaction(stranger) as transaction:
        assert await transaction.fetchval("SELECT count(*) FROM execution WHERE id = $1", execution_id) == 0
        changed = await transaction.execute("UPDATE execution SET status = 'failed' WHERE id = $1", execution_id)
        assert changed == "UPDATE 0"
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with database.transaction(stranger) as transaction:
            await transaction.execute(
                "INSERT INTO quota_counter (tenant_id, scope, key, value) VALUES ($1, 's', 'k', 1)", tenant.uuid
            )


async def test_tenants_of_one_transaction_do_not_leak_into_the_next_on_the_connection(
    postgres: PostgresServer, tenant: TenantId
) -> None:
    single = await Database.open(postgres.url("structforge_app", "structforge"), pool_size=1)
    await make_execution(single, tenant)
    async with single.transaction() as transaction:
        assert await transaction.fetchval("SELECT count(*) FROM execution") == 0
    async with single.connection() as connection:
        assert await connection.fetchval("SELECT count(*) FROM execution") == 0
    await single.close()


async def test_owner_is_bound_by_the_policies_too(
    postgres: PostgresServer, database: Database, tenant: TenantId
) -> None:
    await make_execution(database, tenant)
    connection = await asyncpg.connect(postgres.url("structforge_owner", "structforge"))
    assert await connection.fetchval("SELECT count(*) FROM execution") == 0
    await connection.close()


async def test_failed_block_rolls_back_and_leaves_the_connection_usable(
    postgres: PostgresServer, tenant: TenantId
) -> None:
    single = await Database.open(postgres.url("structforge_app", "structforge"), pool_size=1)

    async def fail_half_way() -> None:
        async with single.transaction(tenant) as transaction:
            await transaction.execute("INSERT INTO quota_counter VALUES ($1, 's', 'k', 1)", tenant.uuid)
            await transaction.execute("SELECT 1 / 0")

    with pytest.raises(asyncpg.DivisionByZeroError):
        await fail_half_way()
    async with single.transaction(tenant) as transaction:
        assert await transaction.fetchval("SELECT count(*) FROM quota_counter") == 0
    await single.close()


async def test_unreachable_server_is_a_system_fault() -> None:
    with pytest.raises(SystemFault, match="PostgreSQL did not answer"):
        await Database.open(f"postgresql://a:b@127.0.0.1:{free_port()}/c", timeout_s=2)


def test_urls_written_for_sqlalchemy_are_understood() -> None:
    assert plain_url("postgresql+asyncpg://u:p@h/d") == "postgresql://u:p@h/d"
    assert plain_url("postgres://u:p@h/d") == "postgresql://u:p@h/d"
    assert plain_url("postgresql://u:p@h/d") == "postgresql://u:p@h/d"


def test_tenant_id_cannot_be_made_by_hand() -> None:
    with pytest.raises(TypeError):
        TenantId(uuid4(), seal=object())
