import asyncio
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from models.ids import new_id
from models.repositories.logs import LogFilter, LogLine, Logs
from models.repositories.tenants import Tenants
from models.session import Database
from models.tenancy import TenantId, mint_tenant

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


async def test_lines_of_two_tenants_in_one_batch_stay_apart(database: Database, tenant: TenantId) -> None:
    stranger, execution_id, logs = mint_tenant(uuid4()), new_id(), Logs(database)
    await logs.append(
        [LogLine(tenant, execution_id, "info", "mine"), LogLine(stranger, execution_id, "info", "theirs")]
    )
    assert [line.message for line in await logs.list(tenant, execution_id)] == ["mine"]
    assert [line.message for line in await logs.list(stranger, execution_id)] == ["theirs"]


async def test_lines_come_in_order_past_the_last_one_seen(database: Database, tenant: TenantId) -> None:
    execution_id, logs = new_id(), Logs(database)
    await logs.append(
        [
            LogLine(tenant, execution_id, "info", "start", node_path="a", fields={"n": 1}),
            LogLine(tenant, execution_id, "error", "Broken \x00 pipe", node_path="b", iteration=(1, 2), attempt=2),
            LogLine(tenant, execution_id, "info", "end", node_path="b"),
        ]
    )
    lines = await logs.list(tenant, execution_id)
    assert [line.message for line in lines] == ["start", "Broken \ufffd pipe", "end"]
    assert (lines[0].fields, lines[1].iteration, lines[1].attempt) == ({"n": 1}, [1, 2], 2)
    assert [line.message for line in await logs.list(tenant, execution_id, after=lines[1].seq)] == ["end"]
    assert [line.message for line in await logs.list(tenant, execution_id, limit=1)] == ["start"]


@pytest.mark.parametrize(
    ("narrowed", "left"),
    [
        (LogFilter(), "0123"),
        (LogFilter(level="info"), "123"),
        (LogFilter(level="warning"), "23"),
        (LogFilter(level="error"), "3"),
        (LogFilter(node_path="each"), "0"),
        (LogFilter(node_path="each", below=True), "01"),
        (LogFilter(iteration=[4]), "1"),
        (LogFilter(attempt=2), "2"),
        (LogFilter(text="BROKEN"), "23"),
        (LogFilter(text="100%_"), "3"),  # no pattern, but text as it stands
        (LogFilter(at_from=NOON + timedelta(minutes=2)), "23"),
        (LogFilter(at_before=NOON + timedelta(minutes=2)), "01"),
    ],
)
async def test_a_log_is_narrowed(database: Database, tenant: TenantId, narrowed: LogFilter, left: str) -> None:
    execution_id, logs = new_id(), Logs(database)
    made = [
        LogLine(tenant, execution_id, "debug", "0", node_path="each", at=NOON),
        LogLine(tenant, execution_id, "info", "1", node_path="each.body.a", iteration=(4,), at=NOON),
        LogLine(tenant, execution_id, "warning", "2 broken", attempt=2, at=NOON + timedelta(minutes=2)),
        LogLine(tenant, execution_id, "error", "3 broken 100%_", at=NOON + timedelta(minutes=3)),
    ]
    await logs.append(made)
    assert "".join(line.message[0] for line in await logs.list(tenant, execution_id, narrowed)) == left


async def test_who_follows_by_the_last_line_misses_none_of_many_writers(database: Database, tenant: TenantId) -> None:
    execution_id, logs, writers, batches = new_id(), Logs(database), 3, 20
    written = asyncio.Event()
    seen: list[int] = []

    async def write() -> None:
        for _ in range(batches):
            await logs.append([LogLine(tenant, execution_id, "info", "line")] * 5)

    async def follow() -> None:
        while True:
            ended = written.is_set()
            lines = await logs.list(tenant, execution_id, after=seen[-1] if seen else 0)
            seen.extend(line.seq for line in lines)
            if ended and not lines:
                return

    following = asyncio.create_task(follow())
    await asyncio.gather(*(write() for _ in range(writers)))
    written.set()
    await following

    assert len(seen) == writers * batches * 5


async def test_tenant_is_made_once(database: Database, tenant: TenantId) -> None:
    tenants, name = Tenants(database), f"t-{tenant}"
    first = await tenants.ensure(tenant, name)
    second = await tenants.ensure(tenant, name)
    assert first.created_at == second.created_at
    assert tenant.uuid in await tenants.ids()
