from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

from engine.activities.events.dispatching import Dispatcher, combined, pause_s
from engine.errors import SystemFault
from models.repositories.outbox import FINISHED, FINISHED_BEFORE, OutboxMessages
from models.session import Database
from models.tables import Outbox
from models.tenancy import TenantId


@asynccontextmanager
async def running(*dispatchers: Dispatcher) -> AsyncGenerator[None]:
    tasks = [asyncio.create_task(one.run_forever()) for one in dispatchers]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _add(database: Database, tenant: TenantId, kind: str, *payloads: dict[str, Any]) -> None:
    async with database.transaction(tenant) as transaction:
        for payload in payloads:
            await OutboxMessages.add(transaction, tenant, kind, payload)


async def _row(database: Database, tenant: TenantId) -> dict[str, Any]:
    async with database.transaction(tenant) as transaction:
        return dict(await transaction.fetchrow("SELECT * FROM outbox") or {})


async def _undelivered(database: Database, tenant: TenantId) -> int:
    async with database.transaction(tenant) as transaction:
        return await transaction.fetchval("SELECT count(*) FROM outbox WHERE delivered_at IS NULL")


class Sink:
    """A handler that keeps what it was handed, and fails as often as it is told to."""

    def __init__(self, fails: int = 0, error: Exception | None = None) -> None:
        self.seen: list[Outbox] = []
        self.fails = fails
        self.error = error or RuntimeError("no")
        self.heard = asyncio.Event()

    async def __call__(self, message: Outbox) -> None:
        self.seen.append(message)
        if len(self.seen) <= self.fails:
            raise self.error
        self.heard.set()

    @property
    def ids(self) -> list[UUID]:
        return [message.id for message in self.seen]


def test_pauses_double_and_are_bounded() -> None:
    assert [pause_s(attempts) for attempts in (1, 2, 3, 9, 10, 1000)] == [1, 2, 4, 256, 300, 300]


def test_features_bring_their_handlers_together() -> None:
    first, second = Sink(), Sink()
    assert combined({"a": [first], "b": [first]}, {"a": [second]}) == {"a": [first, second], "b": [first]}


async def test_message_is_heard_at_once_by_every_handler_of_its_kind_and_marked(
    database: Database, tenant: TenantId
) -> None:
    kind, first, second, other = f"k-{tenant}", Sink(), Sink(), Sink()
    dispatcher = Dispatcher(database, {kind: [first, second], "other": [other]})
    async with running(dispatcher), asyncio.timeout(10):
        await _add(database, tenant, kind, {"n": 1})
        await second.heard.wait()
    await Dispatcher(database, {kind: []}).run_once()
    assert await _undelivered(database, tenant) == 0
    assert first.ids == second.ids
    assert [message.payload for message in first.seen] == [{"n": 1}]
    assert other.seen == []


async def test_two_dispatchers_hand_each_message_on_once(database: Database, tenant: TenantId) -> None:
    kind, sink = f"k-{tenant}", Sink()
    await _add(database, tenant, kind, *({"n": n} for n in range(300)))
    one, two = (Dispatcher(database, {kind: [sink]}) for _ in range(2))
    handed = await asyncio.gather(one.run_once(), two.run_once())
    assert sum(handed) == 300
    assert sorted(message.payload["n"] for message in sink.seen) == list(range(300))
    assert await _undelivered(database, tenant) == 0


async def test_failed_message_is_tried_again_after_a_pause_and_does_not_block_others(
    database: Database, tenant: TenantId
) -> None:
    bad, good = f"bad-{tenant}", f"good-{tenant}"
    failing, sink = Sink(fails=1), Sink()
    await _add(database, tenant, bad, {})
    await _add(database, tenant, good, {})
    dispatcher = Dispatcher(database, {bad: [failing], good: [sink]})
    assert await dispatcher.run_once() == 2
    assert (len(failing.seen), len(sink.seen)) == (1, 1)
    assert await dispatcher.run_once() == 0  # it waits
    async with running(dispatcher), asyncio.timeout(20):
        await failing.heard.wait()
    assert (dispatcher.failed, dispatcher.parked) == (1, 0)


async def test_slow_message_does_not_keep_later_ones_waiting(database: Database, tenant: TenantId) -> None:
    slow, quick, gate, sink = f"slow-{tenant}", f"quick-{tenant}", asyncio.Event(), Sink()

    async def wait(_: Outbox) -> None:
        await gate.wait()

    async with running(Dispatcher(database, {slow: [wait], quick: [sink]})), asyncio.timeout(10):
        await _add(database, tenant, slow, {})
        await _add(database, tenant, quick, {})
        await sink.heard.wait()
        gate.set()


async def test_poison_message_is_parked_after_its_tries_with_the_reason(database: Database, tenant: TenantId) -> None:
    kind, sink = f"k-{tenant}", Sink(fails=99, error=ValueError("this never works"))
    await _add(database, tenant, kind, {})
    dispatcher = Dispatcher(database, {kind: [sink]}, max_attempts=1)
    await dispatcher.run_once()
    assert dispatcher.parked == 1
    (parked,) = await OutboxMessages(database).parked(tenant)
    assert parked.failure == "ValueError: this never works"
    assert await dispatcher.run_once() == 0

    sink.fails = 0
    await OutboxMessages(database).retry(tenant, parked.id)
    assert await dispatcher.run_once() == 1
    assert await _undelivered(database, tenant) == 0


async def test_server_that_is_away_never_parks_a_message(database: Database, tenant: TenantId) -> None:
    kind, sink = f"k-{tenant}", Sink(fails=1, error=SystemFault("away"))
    await _add(database, tenant, kind, {})
    dispatcher = Dispatcher(database, {kind: [sink]}, max_attempts=1)
    await dispatcher.run_once()
    row = await _row(database, tenant)
    assert (row["attempts"], row["parked_at"], row["delivered_at"]) == (0, None, None)


async def test_handler_that_hangs_fails_its_message_alone(database: Database, tenant: TenantId) -> None:
    kind = f"k-{tenant}"

    async def hang(_: Outbox) -> None:
        await asyncio.Event().wait()

    await _add(database, tenant, kind, {})
    dispatcher = Dispatcher(database, {kind: [hang]}, handler_timeout_s=0.1)
    assert await dispatcher.run_once() == 1
    assert (await _row(database, tenant))["failure"].startswith("TimeoutError")


async def test_message_of_a_dispatcher_that_died_before_the_mark_is_handed_on_again(
    database: Database, tenant: TenantId
) -> None:
    kind, reached, again = f"k-{tenant}", asyncio.Event(), Sink()

    async def die(_: Outbox) -> None:
        reached.set()
        await asyncio.Event().wait()

    await _add(database, tenant, kind, {})
    dying = Dispatcher(database, {kind: [die]}, lease=timedelta(seconds=1))
    task = asyncio.create_task(dying.run_once())  # which gives nothing back when it ends, as a killed process
    await asyncio.wait_for(reached.wait(), 10)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    async with running(Dispatcher(database, {kind: [again]})), asyncio.timeout(20):
        await again.heard.wait()
    assert again.seen[0].attempts == 2


async def test_message_over_which_processes_die_is_parked(database: Database, tenant: TenantId) -> None:
    kind, sink = f"k-{tenant}", Sink()
    await _add(database, tenant, kind, {})
    for _ in range(3):
        await OutboxMessages(database).claim([kind], timedelta(0))
    await Dispatcher(database, {kind: [sink]}, max_attempts=3).run_once()
    assert sink.seen == []
    assert len(await OutboxMessages(database).parked(tenant)) == 1


async def test_dispatcher_that_is_stopped_gives_back_what_it_was_at(database: Database, tenant: TenantId) -> None:
    kind, reached, again = f"k-{tenant}", asyncio.Event(), Sink()

    async def linger(_: Outbox) -> None:
        reached.set()
        await asyncio.Event().wait()

    await _add(database, tenant, kind, {})
    async with running(Dispatcher(database, {kind: [linger]})):
        await asyncio.wait_for(reached.wait(), 10)
    assert await Dispatcher(database, {kind: [again]}).run_once() == 1  # its claim would last half a minute
    assert again.seen[0].attempts == 1


async def test_ends_of_executions_of_both_names_reach_who_waits(database: Database, tenant: TenantId) -> None:
    sink, workflow = Sink(), str(uuid4())
    await OutboxMessages(database).listen(tenant, "test")
    for kind in (FINISHED, FINISHED_BEFORE):
        await _add(database, tenant, kind, {"workflow_id": workflow, "status": "success"})
    await Dispatcher(database, {FINISHED: [sink]}).run_once()
    assert len([one for one in sink.seen if one.tenant_id == tenant.uuid]) == 2


async def test_thousands_that_nobody_waits_for_are_settled_by_a_statement(database: Database, tenant: TenantId) -> None:
    sink = Sink()
    async with database.transaction(tenant) as transaction:
        await transaction.execute(
            "INSERT INTO outbox (tenant_id, kind, payload) SELECT $1, $2, jsonb_build_object("
            "'execution_id', gen_random_uuid(), 'workflow_id', gen_random_uuid(), 'status', 'success')"
            " FROM generate_series(1, 5000)",
            tenant.uuid,
            FINISHED,
        )
    dispatcher = Dispatcher(database, {FINISHED: [sink]})
    began = time.monotonic()
    await dispatcher.run_once()
    assert time.monotonic() - began < 20
    assert dispatcher.unheard >= 5000
    assert [one for one in sink.seen if one.tenant_id == tenant.uuid] == []
    assert await _undelivered(database, tenant) == 0
