import asyncio
import signal
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
import pytest_asyncio

from engine.activities.clients.redis_live import LiveView
from engine.activities.recorder import Finish, Message, NodeRow, Recorder, Scope
from engine.dag.digest import add_digests
from engine.errors import NotFound, SystemFault
from models.repositories.executions import Executions, NewExecution
from models.repositories.node_executions import NodeExecutions
from models.repositories.quotas import Quotas
from models.session import Database
from models.tenancy import TenantId, mint_tenant
from tests.models.fixtures import make_execution
from tests.models.server import PostgresServer, ValkeyServer, free_port

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)


@pytest_asyncio.fixture
async def recorder(database: Database) -> AsyncIterator[Recorder]:
    made = Recorder(database)
    yield made
    await made.close()


def row(tenant: TenantId, execution_id: UUID, path: str = "a", status: str = "success", **fields: Any) -> NodeRow:
    given = {"attempts": 1, "started_at": NOW, **fields}
    return NodeRow(tenant, execution_id, path, "transform", status, **given)


def finish(tenant: TenantId, execution_id: UUID, outcomes: list[NodeRow], **fields: Any) -> Finish:
    digest = add_digests(item.digest for item in outcomes)
    given = {"status": "success", "finished_at": NOW, **fields}
    return Finish(tenant, execution_id, count=len(outcomes), digest=digest, **given)


async def stored(database: Database, tenant: TenantId, execution_id: UUID) -> list[NodeRow]:
    return await NodeExecutions(database).list(tenant, execution_id)


async def status_of(database: Database, tenant: TenantId, execution_id: UUID) -> str:
    return (await Executions(database).get(tenant, execution_id)).status


async def test_every_column_comes_back_as_recorded(database: Database, recorder: Recorder, tenant: TenantId) -> None:
    execution_id = await make_execution(database, tenant)
    full = NodeRow(
        tenant, execution_id, "loop.inner", "http", "failed", iteration=(3, 0), generation=2, reason="error",
        attempts=4, lost=1, execution_attempt=2, port="error", started_at=NOW, finished_at=NOW, duration_ms=12.5,
        input={"v": [1], "n": 3}, output={"r": "ab" * 32, "n": 50, "t": "json"}, error={"code": "TIMEOUT"},
        assigned={"x": {"v": None, "n": 4}}, worker="w-1", cached=True,
    )  # fmt: skip
    await recorder.record_now([full])
    [read] = await stored(database, tenant, execution_id)
    assert read.seq > 0
    assert replace(read, seq=0) == full


async def test_record_is_written_within_the_delay_without_being_asked(
    database: Database, recorder: Recorder, tenant: TenantId
) -> None:
    execution_id = await make_execution(database, tenant)
    recorder.record(row(tenant, execution_id))
    assert recorder.queued == 1
    async with asyncio.timeout(20):
        while recorder.written == 0:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
    assert len(await stored(database, tenant, execution_id)) == 1


async def test_first_outcome_makes_the_execution_running(
    database: Database, recorder: Recorder, tenant: TenantId
) -> None:
    execution_id = await make_execution(database, tenant)
    await recorder.record_now([row(tenant, execution_id, status="running")])
    execution = await Executions(database).get(tenant, execution_id)
    assert (execution.status, execution.started_at) == ("running", NOW)


async def test_outcome_of_a_paused_execution_leaves_it_paused(
    database: Database, recorder: Recorder, tenant: TenantId
) -> None:
    execution_id = await make_execution(database, tenant)
    await recorder.record_now([row(tenant, execution_id, status="running")])
    await Executions(database).mark_paused(tenant, execution_id, paused=True)
    await recorder.record_now([row(tenant, execution_id)])
    assert await status_of(database, tenant, execution_id) == "paused"


# Worked by hand: (what is there, what comes, what stays). A status with its attempt of the execution, its attempts
# and its lost workers; the higher attempt of the execution wins, then the later status, then attempts, then lost.
LATER = [
    (("pending", 1, 0, 0), ("running", 1, 1, 0), "new"),
    (("running", 1, 1, 0), ("waiting", 1, 1, 0), "new"),
    (("waiting", 1, 1, 0), ("retrying", 1, 1, 0), "new"),
    (("retrying", 1, 1, 0), ("success", 1, 1, 0), "new"),
    (("success", 1, 1, 0), ("running", 1, 2, 0), "old"),  # terminal stays against non-terminal
    (("success", 1, 1, 0), ("running", 2, 1, 0), "new"),  # unless the execution began again
    (("failed", 2, 1, 0), ("success", 1, 9, 9), "old"),
    (("failed", 1, 1, 0), ("success", 1, 2, 0), "new"),
    (("success", 1, 2, 0), ("failed", 1, 1, 0), "old"),
    (("success", 1, 1, 1), ("failed", 1, 1, 0), "old"),  # of a worker that was given up
    (("failed", 1, 1, 0), ("success", 1, 1, 1), "new"),
    (("success", 1, 1, 0), ("failed", 1, 1, 0), "old"),  # the first of two equals stays
    (("retrying", 1, 2, 0), ("running", 1, 2, 0), "old"),
]


@pytest.mark.parametrize("together", [False, True], ids=["two batches", "one batch"])
@pytest.mark.parametrize(("there", "comes", "stays"), LATER)
async def test_late_outcome_never_replaces_a_newer_one(
    database: Database, recorder: Recorder, tenant: TenantId, there: Any, comes: Any, stays: str, together: bool
) -> None:
    execution_id = await make_execution(database, tenant)
    for status, attempt, attempts, lost in (there, comes):
        made = row(tenant, execution_id, status=status, execution_attempt=attempt, attempts=attempts, lost=lost)
        recorder.record(made)
        if not together:
            await recorder.flush()
    await recorder.flush()
    [read] = await stored(database, tenant, execution_id)
    expected = comes if stays == "new" else there
    assert (read.status, read.execution_attempt, read.attempts, read.lost) == expected


async def test_new_generation_and_iteration_are_rows_of_their_own(
    database: Database, recorder: Recorder, tenant: TenantId
) -> None:
    execution_id = await make_execution(database, tenant)
    rows = [row(tenant, execution_id, iteration=i, generation=g) for i in ((), (0,), (0, 1)) for g in (0, 1)]
    await recorder.record_now(rows)
    assert [item.key for item in await stored(database, tenant, execution_id)] == sorted(item.key for item in rows)


async def test_finish_takes_queued_and_given_rows_and_closes_in_one_transaction(
    database: Database, recorder: Recorder, tenant: TenantId
) -> None:
    execution_id = await make_execution(database, tenant)
    queued, given = row(tenant, execution_id, "a"), row(tenant, execution_id, "b")
    recorder.record(queued)
    closing = finish(
        tenant, execution_id, [queued, given], rows=(given,), output={"v": 1, "n": 1}, handled_failures=2,
        messages=(Message("notify", {"to": "ops"}),),
    )  # fmt: skip
    answer = await recorder.finish(closing)
    execution = await Executions(database).get(tenant, execution_id)
    assert answer.closed
    assert (execution.status, execution.output, execution.handled_failures) == ("success", {"v": 1, "n": 1}, 2)
    assert (execution.finished_at, execution.expected_count) == (NOW, 2)
    assert execution.expected_digest == closing.digest
    async with database.transaction(tenant) as transaction:
        assert await transaction.fetchval("SELECT payload FROM outbox") == {"to": "ops"}


async def test_finish_with_other_outcomes_closes_nothing_and_says_what_is_there(
    database: Database, recorder: Recorder, tenant: TenantId
) -> None:
    execution_id = await make_execution(database, tenant)
    kept, unsent, wrong = (row(tenant, execution_id, path) for path in "abc")
    await recorder.record_now([kept, replace(wrong, status="failed"), row(tenant, execution_id, "d", "running")])
    closing = finish(tenant, execution_id, [kept, unsent, wrong])
    refused = await recorder.finish(closing)
    assert not refused.closed
    assert await status_of(database, tenant, execution_id) == "running"
    assert refused.present is not None
    known = {present.key: present.digest for present in refused.present}
    missing = [item for item in (kept, unsent, wrong) if known.get(item.key) != item.digest]
    assert missing == [unsent, wrong]
    assert (await recorder.finish(replace(closing, rows=tuple(missing)))).closed
    read = {item.node_path: item.status for item in await stored(database, tenant, execution_id)}
    assert read == {"a": "success", "b": "success", "c": "success", "d": "cancelled"}, "and nothing looks running"


async def test_word_of_the_interpreter_replaces_a_workers_of_the_same_attempt_only(
    database: Database, recorder: Recorder, tenant: TenantId
) -> None:
    execution_id = await make_execution(database, tenant)
    await recorder.record_now(
        [row(tenant, execution_id, "a", attempts=2), row(tenant, execution_id, "b", execution_attempt=2)]
    )
    await recorder.settle([row(tenant, execution_id, path, "cancelled") for path in "abc"])
    read = {item.node_path: item.status for item in await stored(database, tenant, execution_id)}
    assert read == {"a": "cancelled", "b": "success", "c": "cancelled"}


async def test_final_closing_ignores_what_the_interpreter_never_knew(
    database: Database, recorder: Recorder, tenant: TenantId
) -> None:
    execution_id = await make_execution(database, tenant)
    known = row(tenant, execution_id, "a")
    await recorder.record_now([known, row(tenant, execution_id, "stray")])
    closing = finish(tenant, execution_id, [known])
    assert not (await recorder.finish(closing)).closed
    assert (await recorder.finish(replace(closing, final=True))).closed
    execution = await Executions(database).get(tenant, execution_id)
    assert (execution.status, execution.expected_count) == ("success", 1)


async def test_finishing_twice_keeps_the_first_end_and_sends_no_second_message(
    database: Database, recorder: Recorder, tenant: TenantId
) -> None:
    execution_id = await make_execution(database, tenant)
    only = row(tenant, execution_id)
    closing = finish(tenant, execution_id, [only], rows=(only,), messages=(Message("notify", {}),))
    first, second = await asyncio.gather(recorder.finish(closing), recorder.finish(closing))
    third = await recorder.finish(replace(closing, status="failed", count=99))
    assert [(a.closed, a.status) for a in (first, second, third)] == [(True, "success")] * 3
    async with database.transaction(tenant) as transaction:
        assert await transaction.fetchval("SELECT count(*) FROM outbox") == 1


async def test_outcome_after_the_end_changes_nothing(database: Database, recorder: Recorder, tenant: TenantId) -> None:
    execution_id = await make_execution(database, tenant)
    only = row(tenant, execution_id, status="cancelled")
    await recorder.finish(finish(tenant, execution_id, [only], rows=(only,), status="cancelled"))
    await recorder.record_now([row(tenant, execution_id, attempts=7), row(tenant, execution_id, "late")])
    assert [item.status for item in await stored(database, tenant, execution_id)] == ["cancelled"]


async def test_finish_of_an_unknown_or_another_tenants_execution_is_not_found(
    database: Database, recorder: Recorder, tenant: TenantId
) -> None:
    execution_id, stranger = await make_execution(database, tenant), mint_tenant(uuid4())
    with pytest.raises(NotFound):
        await recorder.finish(finish(tenant, uuid4(), []))
    with pytest.raises(NotFound):
        await recorder.finish(finish(stranger, execution_id, []))
    assert await status_of(database, tenant, execution_id) == "pending"


async def test_many_executions_end_at_once_and_give_their_quota_back(
    database: Database, recorder: Recorder, tenant: TenantId
) -> None:
    executions = Executions(database)
    await Quotas(database).put(tenant, "tenant", "concurrent_executions", "", 40)
    made = [await executions.create_execution(tenant, NewExecution(uuid4(), uuid4(), "w")) for _ in range(40)]
    rows = [row(tenant, created.execution.id) for created in made]
    answers = await asyncio.gather(
        *(recorder.finish(finish(tenant, item.execution_id, [item], rows=(item,))) for item in rows)
    )
    assert all(answer.closed for answer in answers)
    async with database.transaction(tenant) as transaction:
        assert await transaction.fetchval("SELECT value FROM quota_counter") == 0


async def test_batch_of_two_tenants_lands_with_each(database: Database, recorder: Recorder, tenant: TenantId) -> None:
    stranger = mint_tenant(uuid4())
    mine, theirs = await make_execution(database, tenant), await make_execution(database, stranger)
    await recorder.record_now([row(tenant, mine), row(stranger, theirs), row(tenant, theirs, "forged")])
    assert [item.node_path for item in await stored(database, tenant, mine)] == ["a"]
    assert [item.node_path for item in await stored(database, stranger, theirs)] == ["a"]
    assert await stored(database, tenant, theirs) == []


async def test_confirmation_is_over_the_scope_that_was_asked(
    database: Database, recorder: Recorder, tenant: TenantId
) -> None:
    execution_id = await make_execution(database, tenant)
    rows = [row(tenant, execution_id, "loop.body", iteration=(index,)) for index in range(30)]
    for item in [*rows, row(tenant, execution_id, "other"), row(tenant, execution_id, "loop.x", "running")]:
        recorder.record(item)
    shard = rows[10:20]
    scope = Scope("loop.", (10,), (20,))
    whole = await recorder.confirm(tenant, execution_id, 10, add_digests(item.digest for item in shard), scope)
    short = await recorder.confirm(tenant, execution_id, 11, add_digests(item.digest for item in shard), scope)
    assert whole.complete
    assert not short.complete
    assert {present.key for present in short.present or []} == {item.key for item in shard}
    assert {present.digest for present in short.present or []} == {item.digest for item in shard}


async def test_attempts_are_read_from_the_record(database: Database, recorder: Recorder, tenant: TenantId) -> None:
    execution_id = await make_execution(database, tenant)
    assert await recorder.node_attempts(tenant, execution_id, "a") is None
    recorder.record(row(tenant, execution_id, status="running", attempts=3, lost=1))
    found = await recorder.node_attempts(tenant, execution_id, "a")
    assert found is not None
    assert (found.status, found.attempts, found.lost) == ("running", 3, 1)
    assert await recorder.node_attempts(tenant, execution_id, "a", (1,)) is None


async def test_outcome_that_postgres_cannot_hold_loses_its_data_and_no_other_row(
    database: Database, recorder: Recorder, tenant: TenantId
) -> None:
    execution_id = await make_execution(database, tenant)
    recorder.record(row(tenant, execution_id, "fine", output={"v": "nul \x00", "n": 9}))
    recorder.record(row(tenant, execution_id, "bad", output={"v": object(), "n": 9}))
    await recorder.flush()
    read = {item.node_path: item for item in await stored(database, tenant, execution_id)}
    assert read["fine"].output == {"v": "nul \x00", "n": 9}
    assert read["bad"].output is None
    assert read["bad"].error is not None
    assert recorder.stripped == 1


async def test_restart_of_postgres_under_load_loses_nothing(
    postgres: PostgresServer, database: Database, recorder: Recorder, tenant: TenantId
) -> None:
    execution_id = await make_execution(database, tenant)
    rows = [row(tenant, execution_id, f"n{index}") for index in range(3000)]

    async def produce() -> None:
        for index, item in enumerate(rows):
            recorder.record(item)
            if index % 20 == 0:
                await asyncio.sleep(0.002)

    producing = asyncio.create_task(produce())
    for how in (signal.SIGINT, signal.SIGQUIT):  # fast, immediate
        await asyncio.sleep(0.05)
        await asyncio.to_thread(postgres.stop, how)
        postgres.start()
        await postgres.wait_ready()
    await producing
    answer = await recorder.finish(finish(tenant, execution_id, rows))
    assert answer.closed
    assert recorder.retries > 0, "the fault was felt"
    assert len(await stored(database, tenant, execution_id)) == 1000  # one page
    assert (await NodeExecutions(database).counts(tenant, execution_id)) == {"success": 3000}


async def test_absent_postgres_makes_flush_fail_in_time_and_keeps_the_rows(
    postgres: PostgresServer, database: Database, recorder: Recorder, tenant: TenantId
) -> None:
    execution_id = await make_execution(database, tenant)
    await asyncio.to_thread(postgres.stop)
    try:
        recorder.record(row(tenant, execution_id))
        started = time.monotonic()
        with pytest.raises(SystemFault, match="within"):
            await recorder.flush(timeout_s=0.3)
        assert time.monotonic() - started < 15
    finally:
        postgres.start()
        await postgres.wait_ready()
    await recorder.flush()
    assert len(await stored(database, tenant, execution_id)) == 1


async def test_full_queue_refuses_or_makes_wait(database: Database, tenant: TenantId) -> None:
    execution_id = await make_execution(database, tenant)
    small = Recorder(database, max_queued=2, max_delay_ms=60_000, max_rows=1000)
    small.record(row(tenant, execution_id, "a"))
    small.record(row(tenant, execution_id, "b"))
    with pytest.raises(SystemFault):
        small.record(row(tenant, execution_id, "c"))
    waiting = asyncio.create_task(small.record_when_room(row(tenant, execution_id, "c")))
    await asyncio.sleep(0)
    assert not waiting.done()
    await small.flush()
    await waiting
    await small.close()
    assert [item.node_path for item in await stored(database, tenant, execution_id)] == ["a", "b", "c"]


async def test_close_writes_what_is_queued_and_then_refuses(database: Database, tenant: TenantId) -> None:
    execution_id = await make_execution(database, tenant)
    slow = Recorder(database, max_delay_ms=60_000)
    slow.record(row(tenant, execution_id))
    await slow.close()
    assert len(await stored(database, tenant, execution_id)) == 1
    with pytest.raises(SystemFault):
        slow.record(row(tenant, execution_id))


async def test_live_view_shows_status_and_counts_each_node_once(
    database: Database, valkey: ValkeyServer, tenant: TenantId
) -> None:
    live = LiveView.open(valkey.url)
    recorder = Recorder(database, live=live)
    execution_id = await make_execution(database, tenant)
    await recorder.record_now([row(tenant, execution_id, "a", "running"), row(tenant, execution_id, "b", "running")])
    await recorder.record_now([row(tenant, execution_id, "a")])
    await recorder.record_now([row(tenant, execution_id, "a", "running")])  # late
    await live.drain()
    shown = await live.execution(tenant, execution_id)
    assert shown is not None
    assert (shown.status, shown.nodes) == ("running", {"success": 1, "running": 1})
    last = row(tenant, execution_id, "b")
    await recorder.finish(finish(tenant, execution_id, [row(tenant, execution_id, "a"), last], rows=(last,)))
    await live.drain()
    shown = await live.execution(tenant, execution_id)
    assert shown is not None
    assert (shown.status, shown.nodes) == ("success", {"success": 2})
    assert await live.execution(mint_tenant(uuid4()), execution_id) is None
    assert (live.failures, live.dropped) == (0, 0)
    await recorder.close()
    await live.close()


async def test_absent_redis_costs_liveness_and_nothing_else(database: Database, tenant: TenantId) -> None:
    live = LiveView.open(f"redis://127.0.0.1:{free_port()}/0")
    recorder = Recorder(database, live=live)
    execution_id = await make_execution(database, tenant)
    only = row(tenant, execution_id)
    assert (await recorder.finish(finish(tenant, execution_id, [only], rows=(only,)))).closed
    await live.drain()
    assert await live.execution(tenant, execution_id) is None
    assert live.failures >= 2
    await recorder.close()
    await live.close()


async def test_live_view_comes_back_after_redis_lost_everything(
    database: Database, valkey: ValkeyServer, tenant: TenantId
) -> None:
    live = LiveView.open(valkey.url)
    recorder = Recorder(database, live=live)
    execution_id = await make_execution(database, tenant)
    await recorder.record_now([row(tenant, execution_id, "a", "running")])
    await live.drain()
    valkey.stop()
    valkey.start()
    await recorder.record_now([row(tenant, execution_id, "b", "running")])
    await recorder.record_now([row(tenant, execution_id, "c", "running")])
    await live.drain()
    shown = await live.execution(tenant, execution_id)
    assert shown is not None
    assert shown.nodes.get("running", 0) >= 1
    await recorder.close()
    await live.close()


async def test_closing_transaction_is_all_or_nothing(
    postgres: PostgresServer, database: Database, recorder: Recorder, tenant: TenantId
) -> None:
    execution_id = await make_execution(database, tenant)
    only = row(tenant, execution_id)
    admin = await asyncpg.connect(postgres.url("postgres", "structforge"))
    await admin.execute("REVOKE INSERT ON outbox FROM structforge_app")
    closing = finish(tenant, execution_id, [only], rows=(only,), messages=(Message("notify", {}),))
    try:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await recorder.finish(closing)
    finally:
        await admin.execute("GRANT INSERT ON outbox TO structforge_app")
        await admin.close()
    assert await status_of(database, tenant, execution_id) == "running"
    assert (await recorder.finish(closing)).closed
