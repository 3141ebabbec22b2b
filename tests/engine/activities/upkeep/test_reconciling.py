"""Each kind of contradiction is made by hand, and is repaired and counted once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any, cast
from uuid import uuid4

import pytest
import pytest_asyncio
from redis.asyncio import Redis
from temporalio.client import WorkflowExecutionStatus

from engine.activities.clients.objects import ObjectStore
from engine.activities.clients.redis_upkeep import LiveUpkeep
from engine.activities.clients.temporal import protection_of
from engine.activities.launching import TemporalLink
from engine.activities.upkeep import reconciling
from engine.activities.upkeep.reconciling import Reconciler
from engine.activities.upkeep.temporal_ends import TemporalEnds
from engine.dag.values import read
from models.repositories.executions import Executions, NewExecution
from models.repositories.node_executions import NodeExecutions
from models.repositories.quotas import Quotas
from models.repositories.upkeep_counts import UpkeepCounts
from models.rows import NodeRow
from models.session import Database
from tests.engine.workflows.lab import Ended, Lab

pytestmark = pytest.mark.asyncio(loop_scope="session")

SMALL = {
    "nodes": [
        {"id": "double", "type": "transform", "params": {"mapping": {"twice": "{{ input.n * 2 }}"}}},
    ],
}
REOPEN = """
    UPDATE execution SET status = $3, finished_at = NULL, output = NULL, error = NULL WHERE tenant_id = $1 AND id = $2
"""


@pytest_asyncio.fixture(loop_scope="session")
async def reconciler(lab: Lab) -> AsyncIterator[Reconciler]:
    opened = await reconciler_of(lab, timedelta(0))
    yield opened
    assert opened.live is not None
    await opened.live.close()


async def reconciler_of(lab: Lab, grace: timedelta) -> Reconciler:
    settings = lab.stack.settings
    assert settings.temporal.address is not None
    assert settings.redis.url is not None
    objects = ObjectStore.open(settings.objects_url)
    link = TemporalLink(settings.temporal.address, settings.temporal.namespace, objects, protection_of(settings))
    live = LiveUpkeep.open(settings.redis.url.get_secret_value())
    return Reconciler(lab.stack.runtime.database, TemporalEnds(link, settings.temporal.namespace), live, grace)


def database_of(lab: Lab) -> Database:
    return lab.stack.runtime.database


async def run(lab: Lab, query: str, *arguments: object) -> Any:
    async with database_of(lab).transaction(lab.tenant) as transaction:
        return await transaction.fetchval(query, lab.tenant.uuid, *arguments)


async def small(lab: Lab) -> Ended:
    return await (await lab.start(SMALL, {"n": 4})).end()


async def total(lab: Lab, kind: str) -> int:
    return next((row.total for row in await UpkeepCounts(database_of(lab)).list() if row.kind == kind), 0)


async def repaired_once(lab: Lab, reconciler: Reconciler, kind: str) -> None:
    """One pass repairs it and counts it, a second one finds nothing."""
    before = await total(lab, kind)
    assert (await reconciler.run_once()).get(kind) == 1
    assert kind not in await reconciler.run_once()
    assert await total(lab, kind) == before + 1


@pytest.mark.parametrize("status", ["running", "paused", "pending"])
async def test_an_open_row_of_an_execution_that_has_succeeded_is_closed_with_its_output(
    lab: Lab, reconciler: Reconciler, status: str
) -> None:
    ended = await small(lab)
    await run(lab, REOPEN, ended.row.id, status)
    await repaired_once(lab, reconciler, reconciling.EXECUTION_NOT_CLOSED)
    row = await Executions(database_of(lab)).get(lab.tenant, ended.row.id)
    assert (row.status, read(row.output or {})) == ("success", {"double": {"twice": 8}})
    assert (row.expected_count, row.expected_digest) == (ended.row.expected_count, ended.row.expected_digest)


async def test_an_open_row_of_an_execution_that_has_failed_is_closed_with_its_error(
    lab: Lab, reconciler: Reconciler
) -> None:
    nodes = [{"id": "bad", "type": "transform", "params": {"mapping": {"x": "{{ 1 // input.zero }}"}}}]
    ended = await (await lab.start({"nodes": nodes}, {"zero": 0})).end()
    await run(lab, REOPEN, ended.row.id, "running")
    await repaired_once(lab, reconciler, reconciling.EXECUTION_NOT_CLOSED)
    row = await Executions(database_of(lab)).get(lab.tenant, ended.row.id)
    assert row.status == "failed"
    assert row.error is not None
    assert row.error["code"] == "EXPRESSION_ERROR"


async def test_a_cancelled_and_a_timed_out_execution_are_closed_as_what_they_were(
    lab: Lab, reconciler: Reconciler
) -> None:
    waiting = {"nodes": [{"id": "wait", "type": "delay", "params": {"delay": "1h"}}]}
    cancelled = await lab.start(waiting)
    await cancelled.until("wait", "waiting")
    await cancelled.cancel()
    late = await lab.start({**waiting, "settings": {"timeout": "1s"}})
    ends = [await cancelled.end(), await late.end()]
    for ended in ends:
        await run(lab, REOPEN, ended.row.id, "running")
    assert (await reconciler.run_once())[reconciling.EXECUTION_NOT_CLOSED] == 2
    rows = [await Executions(database_of(lab)).get(lab.tenant, ended.row.id) for ended in ends]
    assert [row.status for row in rows] == ["cancelled", "timed_out"]


async def test_a_running_row_that_temporal_does_not_know_is_closed_as_interrupted(
    lab: Lab, reconciler: Reconciler
) -> None:
    created = await Executions(database_of(lab)).create_execution(lab.tenant, NewExecution(uuid4(), uuid4(), "w"))
    begun = NodeRow(lab.tenant, created.execution.id, "a", "http", "running")
    await NodeExecutions(database_of(lab)).write([begun])
    await repaired_once(lab, reconciler, reconciling.EXECUTION_INTERRUPTED)
    row = await Executions(database_of(lab)).get(lab.tenant, created.execution.id)
    (node,) = await NodeExecutions(database_of(lab)).list(lab.tenant, created.execution.id)
    assert (row.status, (row.error or {})["code"]) == ("failed", "INTERRUPTED")
    assert (node.status, node.reason) == ("cancelled", "abandoned")


async def test_a_pending_row_of_an_execution_that_runs_is_marked(lab: Lab, reconciler: Reconciler) -> None:
    started = await lab.start({"nodes": [lab.hold("held")]})
    await lab.seen("held")
    await run(lab, "UPDATE execution SET status = 'pending' WHERE tenant_id = $1 AND id = $2", started.id)
    await repaired_once(lab, reconciler, reconciling.EXECUTION_NOT_MARKED)
    assert (await Executions(database_of(lab)).get(lab.tenant, started.id)).status == "running"
    lab.release("held")
    await started.end()


async def test_what_runs_in_temporal_after_its_execution_is_over_is_stopped(lab: Lab, reconciler: Reconciler) -> None:
    started = await lab.start({"nodes": [{"id": "wait", "type": "delay", "params": {"delay": "1h"}}]})
    await started.until("wait", "waiting")
    query = "UPDATE execution SET status = 'failed', finished_at = now() WHERE tenant_id = $1 AND id = $2"
    await run(lab, query, started.id)

    async def is_listed() -> bool:  # Temporal lists what runs a moment later
        return [one async for one in _running(lab, started.handle.id)] != []

    await lab.eventually(is_listed)
    assert (await reconciler.run_once()).get(reconciling.TEMPORAL_NOT_STOPPED) == 1
    assert (await started.handle.describe()).status is WorkflowExecutionStatus.TERMINATED


def _running(lab: Lab, workflow_id: str) -> Any:
    query = f'WorkflowId = "{workflow_id}" AND ExecutionStatus = "Running"'
    return lab.stack.runtime.temporal.list_workflows(query)


async def test_nodes_left_running_under_a_closed_execution_are_closed(lab: Lab, reconciler: Reconciler) -> None:
    ended = await small(lab)
    query = """UPDATE node_execution SET status = 'running', finished_at = NULL
                WHERE tenant_id = $1 AND execution_id = $2 AND node_path = 'double'"""
    await run(lab, query, ended.row.id)
    await repaired_once(lab, reconciler, reconciling.NODE_NOT_CLOSED)
    rows = await NodeExecutions(database_of(lab)).list(lab.tenant, ended.row.id)
    assert {row.node_path: row.status for row in rows}["double"] == "cancelled"


async def test_an_approval_open_under_a_closed_execution_is_closed(lab: Lab, reconciler: Reconciler) -> None:
    ended = await small(lab)
    query = """INSERT INTO approval (tenant_id, id, execution_id, workflow_id, workflow_name, temporal_id, node_path,
                                     iteration, generation, approvers, decisions)
               VALUES ($1, $2, $3, $4, 'w', 't', 'ask', '{}', 0, '{}', '[]')"""
    await run(lab, query, uuid4(), ended.row.id, ended.row.workflow_id)
    await repaired_once(lab, reconciler, reconciling.APPROVAL_NOT_CLOSED)
    assert await run(lab, "SELECT status FROM approval WHERE tenant_id = $1") == "cancelled"


async def test_a_counter_that_differs_from_the_rows_is_counted_afresh(lab: Lab, reconciler: Reconciler) -> None:
    await Quotas(database_of(lab)).put(lab.tenant, "tenant", "concurrent_executions", "", 50)
    await Quotas(database_of(lab)).put(lab.tenant, "tenant", "executions", "day", 50)
    await small(lab)
    await run(lab, "UPDATE quota_counter SET value = 7 WHERE tenant_id = $1 AND scope = 'concurrent_executions'")
    await repaired_once(lab, reconciler, reconciling.QUOTA_COUNTER_WRONG)
    await run(lab, "UPDATE quota_counter SET value = 40 WHERE tenant_id = $1 AND scope = 'executions'")
    await repaired_once(lab, reconciler, reconciling.QUOTA_COUNTER_WRONG)
    used = {one.rule.kind: one.used for one in await Quotas(database_of(lab)).usage(lab.tenant)}
    assert used == {"concurrent_executions": 0, "executions": 1}


async def test_executions_that_wait_although_a_slot_is_free_are_let_in_whatever_became_of_their_rows(
    lab: Lab, reconciler: Reconciler
) -> None:
    await Quotas(database_of(lab)).put(lab.tenant, "tenant", "concurrent_executions", "", 1)
    executions = Executions(database_of(lab))
    new = [NewExecution(uuid4(), uuid4(), "w") for _ in range(2)]
    first, second = [(await executions.create_execution(lab.tenant, one)).execution for one in new]
    assert (first.reason, second.reason) == (None, "queued")
    # The first ends behind the back of its quota, and the second one's place in the queue is lost.
    await run(
        lab, "UPDATE execution SET status = 'failed', finished_at = now() WHERE tenant_id = $1 AND id = $2", first.id
    )
    await run(lab, "UPDATE waiting_execution SET execution_id = $2 WHERE tenant_id = $1", uuid4())
    done = await reconciler.run_once()
    kinds = ("QUOTA_COUNTER_WRONG", "WAITING_ROW_STALE", "WAITING_ROW_LOST", "SLOT_NOT_HANDED_ON")
    assert [done.get(getattr(reconciling, kind)) for kind in kinds] == [1, 1, 1, 1]
    admitted = await executions.get(lab.tenant, second.id)
    assert (admitted.reason, admitted.status) == (None, "pending")
    assert not {getattr(reconciling, kind) for kind in kinds} & (await reconciler.run_once()).keys()


async def test_a_live_view_that_contradicts_the_record_is_put_right(lab: Lab, reconciler: Reconciler) -> None:
    ended = await small(lab)
    assert lab.stack.runtime.live is not None
    await lab.stack.runtime.live.drain()
    started = await lab.start({"nodes": [lab.hold("held")]})
    await lab.seen("held")
    await lab.stack.runtime.live.drain()
    redis = _redis(lab)
    keys = [f"sf:{lab.tenant}:execution:{one}" for one in (ended.row.id, started.id, uuid4())]
    await reconciler.run_once()  # what other tests have left
    await cast("Any", redis.hset(keys[0], mapping={"status": "running", "n:success": 9}))
    await cast("Any", redis.hdel(keys[0], "finished"))
    await cast("Any", redis.hset(keys[1], mapping={"status": "failed", "finished": 1}))
    await cast("Any", redis.hset(keys[2], mapping={"status": "running"}))
    assert (await reconciler.run_once()).get(reconciling.LIVE_VIEW_WRONG) == 3
    assert reconciling.LIVE_VIEW_WRONG not in await reconciler.run_once()
    over, held, unknown = [await cast("Any", redis.hgetall(key)) for key in keys]
    assert over == {"status": "success", "finished": "1", "n:success": "1"}
    assert (held["status"], "finished" in held, unknown) == ("running", False, {})
    lab.release("held")
    await started.end()
    await redis.aclose()


async def test_a_lease_of_the_result_cache_that_never_runs_out_is_ended(lab: Lab, reconciler: Reconciler) -> None:
    redis = _redis(lab)
    names = [f"sf:{lab.tenant}:result:{name}:lease" for name in ("stuck", "live")]
    await redis.set(names[0], "somebody")
    await redis.set(names[1], "somebody", ex=60)
    await repaired_once(lab, reconciler, reconciling.RESULT_LEASE_STALE)
    assert [await redis.exists(name) for name in names] == [0, 1]
    await redis.aclose()


async def test_a_message_that_is_leased_for_too_long_is_due_again(lab: Lab, reconciler: Reconciler) -> None:
    query = "INSERT INTO outbox (tenant_id, kind, payload, next_try) VALUES ($1, 'test.unheard', '{}', now() + $2)"
    await run(lab, query, timedelta(days=1))
    await run(lab, query, timedelta(minutes=4))  # as pauses are
    await repaired_once(lab, reconciler, reconciling.MESSAGE_LEASE_STALE)
    await run(lab, "DELETE FROM outbox WHERE tenant_id = $1 AND kind = 'test.unheard'")


async def test_room_that_a_closed_execution_holds_for_ai_calls_is_given_back(lab: Lab, reconciler: Reconciler) -> None:
    ended = await small(lab)
    query = """INSERT INTO ai_call (tenant_id, id, execution_id, workflow_id, node_path, iteration, generation, attempt,
                                    holder, model, provider, reserved_tokens, expires_at)
               VALUES ($1, $2, $3, $4, 'a', '{}', 0, 1, $2, 'm', 'p', 1000, now() + interval '1 hour')"""
    await run(lab, query, uuid4(), ended.row.id, ended.row.workflow_id)
    await repaired_once(lab, reconciler, reconciling.AI_ROOM_STALE)


async def test_what_is_younger_than_the_grace_time_is_left_alone(lab: Lab) -> None:
    patient = await reconciler_of(lab, timedelta(hours=1))
    ended = await small(lab)
    await run(lab, REOPEN, ended.row.id, "running")
    assert reconciling.EXECUTION_NOT_CLOSED not in await patient.run_once()
    assert (await Executions(database_of(lab)).get(lab.tenant, ended.row.id)).status == "running"
    eager = await reconciler_of(lab, timedelta(0))
    await eager.run_once()


async def test_two_at_once_repair_a_thing_once(lab: Lab, reconciler: Reconciler) -> None:
    ended = [await small(lab) for _ in range(3)]
    for one in ended:
        await run(lab, REOPEN, one.row.id, "running")
    other = await reconciler_of(lab, timedelta(0))
    counts = await asyncio.gather(reconciler.run_once(), other.run_once())
    assert sum(count.get(reconciling.EXECUTION_NOT_CLOSED, 0) for count in counts) == 3
    told = await run(lab, "SELECT count(*) FROM outbox WHERE tenant_id = $1 AND kind = 'execution.finished'")
    assert told == 6  # each once by its own closing, and once by the repair


def _redis(lab: Lab) -> Redis:
    url = lab.stack.settings.redis.url
    assert url is not None
    return Redis.from_url(url.get_secret_value(), decode_responses=True)
