"""Kill -9 of workers while they run segments: what is checkpointed never runs again."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from engine.contracts import idempotency_key
from engine.dag.values import read
from models.repositories.executions import Executions
from models.repositories.node_executions import NodeExecutions
from tests.faults.effects import Call
from tests.faults.graph import document, expected
from tests.faults.system import System, running_system
from tests.faults.worker_processes import WorkerProcesses

pytestmark = pytest.mark.slow  # a worker is lost, and a lost worker is noticed after ten seconds

EXECUTIONS = 6
INPUT = 1000
ENDS_WITHIN_S = 120


async def test_after_a_kill_no_checkpointed_node_runs_again_and_no_call_that_may_not(data_dir: Path) -> None:
    async with running_system(data_dir) as system, WorkerProcesses(system.settings, system.temporal, 1) as workers:
        await system.effects.set_latency(50, 250)
        saved = await system.save({**document(system.effects.url), "settings": {"dispatch": "fused"}})
        posts = await system.save({"name": "once", **_posts(system), "settings": {"dispatch": "fused"}})
        await workers.all_ready()
        started = {await system.start(saved, {"n": INPUT + number}): INPUT + number for number in range(EXECUTIONS)}
        await _until(lambda: _some_are_committed(system, started))
        await system.effects.set_latency(3000, 3000)  # from here on calls are under way for long
        once = await system.start(posts)
        await _until(lambda: _is_called(system, once))
        await workers.kill(0)
        kept = await _checkpoints(system, started)
        await system.effects.set_latency(50, 250)
        async with asyncio.timeout(ENDS_WITHIN_S):
            await asyncio.gather(*(system.handle(one).result() for one in (*started, once)), return_exceptions=True)
        calls = await system.effects.calls()
        assert len(kept) >= EXECUTIONS
        assert _repeated(kept, calls) == {}
        assert any(call.cut for call in calls), "the kill has hit no call: the run has proved nothing"
        await _assert_right(system, started, [call for call in calls if str(once) not in call.key])
        await _assert_unknown(system, once, calls)


async def _assert_unknown(system: System, once: UUID, calls: list[Call]) -> None:
    """The call that may not be repeated was made once, and nobody says how it ended."""
    row = await Executions(system.database).get(system.tenant, once)
    rows = {row.node_path: row for row in await NodeExecutions(system.database).list(system.tenant, once)}
    assert (row.status, (rows["first"].error or {})["code"]) == ("failed", "OUTCOME_UNKNOWN")
    assert [call.path for call in calls if str(once) in call.key] == ["/effect/first"]


def _posts(system: System) -> dict[str, Any]:
    nodes = [_post(system, "first"), _post(system, "second")]
    return {"nodes": nodes, "edges": [{"source": "first", "target": "second"}]}


async def _is_called(system: System, execution_id: UUID) -> bool:
    return any(str(execution_id) in call.key for call in await system.effects.calls())


async def _some_are_committed(system: System, started: dict[UUID, int]) -> bool:
    return sum([len(await _ended(system, one)) for one in started]) >= 2 * EXECUTIONS


def _post(system: System, node: str) -> dict[str, Any]:
    params = {"method": "POST", "url": f"{system.effects.url}/effect/{node}", "body": {"n": 1}}
    return {"id": node, "type": "http", "params": params}


async def _until(holds: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(60):
        while not await holds():  # noqa: ASYNC110  another process's state
            await asyncio.sleep(0.02)


async def _ended(system: System, execution_id: UUID) -> list[Any]:
    rows = await NodeExecutions(system.database).list(system.tenant, execution_id, status="success")
    return [row for row in rows if row.node_type == "http"]


async def _checkpoints(system: System, started: dict[UUID, int]) -> dict[str, int]:
    """Of every call whose success is committed, how often it has been made."""
    keys = {
        idempotency_key(str(one), row.node_path, row.iteration, row.generation)
        for one in started
        for row in await _ended(system, one)
    }
    made = Counter(call.key for call in await system.effects.calls())
    return {key: made[key] for key in keys}


def _repeated(kept: dict[str, int], calls: list[Call]) -> dict[str, tuple[int, int]]:
    made = Counter(call.key for call in calls)
    return {key: (count, made[key]) for key, count in kept.items() if made[key] != count}


async def _assert_right(system: System, started: dict[UUID, int], calls: list[Call]) -> None:
    """Every execution gave what it should, each node has one row, and each key one effect."""
    for one, n in started.items():
        output, statuses, _ = expected(n)
        row = await Executions(system.database).get(system.tenant, one)
        rows = await NodeExecutions(system.database).list(system.tenant, one)
        assert (row.status, {part.node_path: part.status for part in rows}) == ("success", statuses)
        assert len(rows) == len(statuses)
        assert row.output is not None
        assert read(row.output) == output
    effects: dict[str, set[Any]] = {}
    for call in calls:
        effects.setdefault(call.key, set()).add(call.effect)
    assert all(len(made) == 1 for made in effects.values())
