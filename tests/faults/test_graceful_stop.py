"""A worker that is asked to stop hands its work back at once, and nobody takes that for a crash."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from engine.dag.values import read
from models.repositories.executions import Executions
from models.repositories.node_executions import NodeExecutions
from tests.faults.effects import answer_to
from tests.faults.system import System, running_system
from tests.structforge.devstack.conftest import eventually
from worker import build_worker, open_runtime

STOPS = 3  # so many crashes would make the node fail


def document(url: str) -> dict[str, Any]:
    params = {"method": "PUT", "url": f"{url}/effect/slow", "body": {"n": "{{ input.n }}"}}
    node = {"id": "slow", "type": "http", "params": params, "assign": {"kept": "{{ nodes.slow.output.body.answer }}"}}
    return {"name": "slow", "nodes": [node], "edges": [], "outputs": "{{ vars.kept }}", "variables": {"kept": {}}}


async def test_stopped_workers_hand_their_node_on_and_are_not_counted_as_lost(data_dir: Path) -> None:
    async with running_system(data_dir, {"graceful_shutdown_s": 0.2}) as system:
        await system.effects.set_latency(60_000, 60_000)
        execution = await system.start(await system.save(document(system.effects.url)), {"n": 5})
        stopped: list[float] = []
        for stop in range(STOPS):
            async with open_runtime(system.settings) as runtime, build_worker(system.settings, runtime):
                await calls_reach(system, stop + 1)
            stopped.append(time.time())
        await system.effects.set_latency(0, 1)
        async with open_runtime(system.settings) as runtime, build_worker(system.settings, runtime):
            await system.handle(execution).result()
        row = await Executions(system.database).get(system.tenant, execution)
        (node,) = await NodeExecutions(system.database).list(system.tenant, execution)
        calls = await system.effects.calls()
    assert (row.status, read(row.output or {})) == ("success", answer_to(5))
    assert (node.status, node.attempts, node.lost) == ("success", 1, 0)
    assert [call.cut for call in calls] == [True] * STOPS + [False]
    assert len({call.key for call in calls}) == 1
    # Handed on at once: the server would notice a crash only after 10 s.
    waits = [call.started_at - at for at, call in zip(stopped, calls[1:], strict=True)]
    assert max(waits) < 8, waits


async def calls_reach(system: System, count: int) -> None:
    async def reached() -> bool:
        return len(await system.effects.calls()) >= count

    await eventually(reached, 60)
