"""The writer of log lines on a real PostgreSQL, also one that is away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from uuid import UUID

import pytest
import pytest_asyncio

from engine.activities.logs import LogWriter
from models.ids import new_id
from models.migrations import upgrade
from models.repositories.logs import LogLine, Logs
from models.session import Database
from models.tenancy import TenantId
from tests.models.server import PostgresServer


@pytest_asyncio.fixture
async def writer(database: Database) -> AsyncIterator[LogWriter]:
    opened = LogWriter(database, max_delay_ms=5)
    yield opened
    await opened.close()


async def _messages(database: Database, tenant: TenantId, execution_id: UUID) -> list[str]:
    return [line.message for line in await Logs(database).list(tenant, execution_id)]


def _line(tenant: TenantId, execution_id: UUID, message: str, level: str = "info") -> LogLine:
    return LogLine(tenant, execution_id, level, message)


async def test_lines_come_to_the_record_in_their_order(database: Database, tenant: TenantId, writer: LogWriter) -> None:
    execution_id = new_id()
    for number in range(2500):  # three batches
        writer.write(_line(tenant, execution_id, str(number)))
    await writer.flush()
    lines = await Logs(database).list(tenant, execution_id, limit=5000)
    assert [line.message for line in lines] == [str(number) for number in range(2500)]
    assert (writer.written, writer.dropped, writer.queued) == (2500, 0, 0)


async def test_a_worker_that_drains_writes_what_it_holds(database: Database, tenant: TenantId) -> None:
    execution_id, writer = new_id(), LogWriter(database, max_delay_ms=60_000)
    writer.write(_line(tenant, execution_id, "last words"))
    await writer.close()
    assert await _messages(database, tenant, execution_id) == ["last words"]


async def test_a_line_that_cannot_be_stored_takes_no_other_with_it(
    database: Database, tenant: TenantId, writer: LogWriter
) -> None:
    execution_id = new_id()
    for level in ("info", "no such level", "error"):
        writer.write(_line(tenant, execution_id, level, level))
    await writer.flush()
    messages = await _messages(database, tenant, execution_id)
    assert messages[:2] == ["info", "error"]
    assert messages[2].startswith("1 log lines were lost")


async def test_without_postgresql_debug_lines_go_first_and_the_log_says_how_many(tenant: TenantId) -> None:
    server = PostgresServer()
    try:
        server.initialise()
        server.start()
        await server.wait_ready()
        await server.create_roles()
        await server.create_database("structforge")
        await upgrade(server.url("structforge_owner", "structforge"))
        database = await Database.open(server.url("structforge_app", "structforge"), pool_size=2)
        await _lose_debug_lines(server, database, tenant)
        await database.close()
    finally:
        server.remove()


async def _lose_debug_lines(server: PostgresServer, database: Database, tenant: TenantId) -> None:
    execution_id = new_id()
    writer = LogWriter(database, max_delay_ms=1, debug_bytes=30_000, max_bytes=300_000)
    server.stop()
    for number in range(100):  # of about 300 bytes: the queue fills up with both kinds
        writer.write(_line(tenant, execution_id, f"info {number}"))
        writer.write(_line(tenant, execution_id, f"debug {number}", "debug"))
    server.start()
    await server.wait_ready()
    await writer.flush(timeout_s=20)
    await writer.flush()
    messages = [line.message for line in await Logs(database).list(tenant, execution_id)]
    debug = [message for message in messages if message.startswith("debug")]
    assert [message for message in messages if message.startswith("info")] == [f"info {n}" for n in range(100)]
    assert 0 < writer.dropped == 100 - len(debug)
    assert messages[-1] == f"{writer.dropped} log lines were lost: the record could not be written for a while"
    await writer.close()


async def test_a_writer_that_has_nothing_flushes_at_once(database: Database) -> None:
    async with asyncio.timeout(20):
        await LogWriter(database).flush()


@pytest.mark.parametrize("level", ["debug", "error"])
async def test_a_closed_writer_takes_nothing_and_fails_nobody(database: Database, tenant: TenantId, level: str) -> None:
    writer = LogWriter(database)
    await writer.close()
    writer.write(_line(tenant, new_id(), "too late", level))
    assert (writer.queued, writer.dropped) == (0, 1)
