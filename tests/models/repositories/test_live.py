import asyncio
import random
from datetime import UTC, datetime
from uuid import UUID, uuid4

import asyncpg
import pytest

from models.change_cursor import ChangeCursor, Snapshot
from models.repositories.grants import Sight
from models.repositories.live import Live, Watched
from models.repositories.logs import LogLine, Logs
from models.repositories.node_executions import NodeExecutions
from models.rows import Finish, NodeRow
from models.session import Database
from models.tenancy import TenantId, mint_tenant
from tests.models.fixtures import make_execution
from tests.models.server import PostgresServer

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)


def row(tenant: TenantId, execution_id: UUID, path: str, status: str = "success") -> NodeRow:
    return NodeRow(tenant, execution_id, path, "transform", status, attempts=1, started_at=NOW)


def closing(tenant: TenantId, execution_id: UUID) -> Finish:
    return Finish(tenant, execution_id, "success", 0, 0, datetime.now(UTC), final=True)


async def shown(
    live: Live, tenant: TenantId, watched: Watched, cursor: ChangeCursor | None = None, limit: int = 500
) -> tuple[list[str], ChangeCursor]:
    """Everything there is, as `path status`, page by page."""
    found: list[str] = []
    cursor = cursor or ChangeCursor()
    while True:
        page = await live.changes(tenant, watched, cursor, limit=limit)
        found += [f"{change.values['node_path'] or 'execution'} {change.values['status']}" for change in page.changes]
        cursor = ChangeCursor.parse(str(page.cursor))
        if not page.more:
            return found, cursor


@pytest.mark.parametrize("limit", [1, 2, 500])
async def test_an_execution_is_told_from_its_beginning_and_from_any_change_on(
    database: Database, tenant: TenantId, limit: int
) -> None:
    live, nodes = Live(database), NodeExecutions(database)
    execution_id = await make_execution(database, tenant)
    watched = Watched(execution_id)
    assert (await shown(live, tenant, watched))[0] == ["execution pending"]

    await nodes.write([row(tenant, execution_id, path) for path in ("c", "a", "b")])
    told, cursor = await shown(live, tenant, watched, limit=limit)
    assert sorted(told[:3]) == ["a success", "b success", "c success"]
    assert told[3:] == ["execution running"]

    await nodes.write([row(tenant, execution_id, "d", "running")])
    await nodes.write([row(tenant, execution_id, "d")], finishes=[closing(tenant, execution_id)])
    told, cursor = await shown(live, tenant, watched, cursor, limit)
    assert told == ["d success", "execution success"]  # that it ran is over, and the end comes last
    page = await live.changes(tenant, watched, cursor)
    assert (page.changes, page.any_open) == ([], False)


async def test_a_late_commit_is_told_though_others_with_later_numbers_were_seen(
    database: Database, tenant: TenantId
) -> None:
    live, nodes = Live(database), NodeExecutions(database)
    execution_id = await make_execution(database, tenant)
    await nodes.write([row(tenant, execution_id, "first")])
    watched = Watched(execution_id)
    told, cursor = await shown(live, tenant, watched)

    async with database.transaction(tenant) as slow:
        await slow.execute(
            """INSERT INTO node_execution (tenant_id, execution_id, node_path, iteration, generation, node_type, status)
               VALUES ($1, $2, 'slow', '{}', 0, 'http', 'success')""",
            tenant.uuid, execution_id,
        )  # fmt: skip
        await nodes.write([row(tenant, execution_id, "quick")])
        told, cursor = await shown(live, tenant, watched, cursor)
        assert told == ["quick success"]
    assert (await shown(live, tenant, watched, cursor))[0] == ["slow success"]


async def test_many_writers_and_a_reader_that_comes_back_all_the_time(database: Database, tenant: TenantId) -> None:
    live, nodes, chance = Live(database), NodeExecutions(database), random.Random(7)
    execution_id = await make_execution(database, tenant)
    written, seen = asyncio.Event(), list[str]()

    async def write(writer: int) -> None:
        for batch in range(25):
            await nodes.write([row(tenant, execution_id, f"n{writer}_{batch}_{n}") for n in range(3)])

    async def read() -> None:
        cursor = ChangeCursor()
        while True:
            ended = written.is_set()
            page = await live.changes(tenant, Watched(execution_id), cursor, limit=chance.choice([1, 4, 100]))
            kept = page.changes[: chance.randint(1, max(1, len(page.changes)))]
            seen.extend(change.values["node_path"] for change in kept if not change.is_execution)
            cursor = ChangeCursor.parse(str(kept[-1].cursor if kept else page.cursor))
            if ended and not page.changes:
                return

    reading = asyncio.create_task(read())
    await asyncio.gather(*(write(writer) for writer in range(4)))
    written.set()
    async with asyncio.timeout(30):
        await reading

    assert len(seen) == len(set(seen)) == 4 * 25 * 3


async def test_a_tenants_stream_begins_now_and_shows_what_its_reader_may_see(
    database: Database, tenant: TenantId
) -> None:
    live, nodes = Live(database), NodeExecutions(database)
    old, ended, new = [await make_execution(database, tenant) for _ in range(3)]
    stranger = mint_tenant(uuid4())
    theirs = await make_execution(database, stranger)
    await nodes.write([row(tenant, one, "before") for one in (old, ended)])
    cursor = await live.here(tenant)

    await nodes.write([row(tenant, new, "after"), row(stranger, theirs, "secret")])
    await nodes.write([], finishes=[closing(tenant, ended)])
    told, _ = await shown(live, tenant, Watched(), cursor)
    assert sorted(told) == ["after success", "execution running", "execution success"]
    assert (await shown(live, tenant, Watched(sight=Sight(member=uuid4())), cursor))[0] == []
    assert (await shown(live, tenant, Watched(workflow_id=uuid4()), cursor))[0] == []
    assert "after success" not in (await shown(live, tenant, Watched(nodes=False), cursor))[0]
    assert await live.visible(tenant, Watched(), [new, theirs]) == {new}


async def test_lines_come_from_their_level_on_and_behind_the_last(database: Database, tenant: TenantId) -> None:
    live, execution_id = Live(database), await make_execution(database, tenant)
    await Logs(database).append(
        [LogLine(tenant, execution_id, level, level) for level in ("debug", "info", "warning", "error")]
    )
    watched = Watched(execution_id, lines="warning")
    lines = await live.lines(tenant, watched, ChangeCursor())
    assert [line.values["message"] for line in lines] == ["warning", "error"]
    assert [line.values["message"] for line in await live.lines(tenant, watched, lines[0].cursor)] == ["error"]
    assert await live.lines(tenant, Watched(execution_id), ChangeCursor()) == []


async def test_a_cursor_of_another_database_begins_anew_and_says_so(database: Database, tenant: TenantId) -> None:
    live, execution_id = Live(database), await make_execution(database, tenant)
    page = await live.changes(tenant, Watched(execution_id), ChangeCursor(Snapshot(2**40)))
    assert page.lost
    assert len(page.changes) == 1


async def test_the_number_of_a_transaction_is_found_from_the_half_that_a_row_keeps(postgres: PostgresServer) -> None:
    connection = await asyncpg.connect(postgres.url("structforge_app", "structforge"))
    try:
        # 2^33 + 5 is the newest; a row of 2^33 - 1 keeps 2^32 - 1, one of 2^33 + 3 keeps 3.
        top = 2**33 + 5
        query = "SELECT transaction_of($1::text::xid, $2::text::pg_snapshot)"
        found = [await connection.fetchval(query, kept, f"{top}:{top}:") for kept in (str(2**32 - 1), "3")]
        assert found == [2**33 - 1, 2**33 + 3]
    finally:
        await connection.close()
