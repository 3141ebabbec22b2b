"""The kill run: executions go on while one of two workers is killed by kill -9, again and again.

`python -m tests.faults.kill_workers --executions 200 --kills 60` prints a report and ends with 1 if anything is wrong.
A round waits until both workers are ready, starts some executions, waits until calls are under way and then a random
moment, and kills one of the two.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import random
import sys
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

from models.repositories.workflows import Saved
from tests.faults.effects import Call
from tests.faults.evidence import Evidence, gather
from tests.faults.graph import document
from tests.faults.invariants import violations
from tests.faults.system import System, running_system
from tests.faults.worker_processes import WorkerProcesses
from tests.structforge.devstack.conftest import open_folder

FIRST_INPUT = 1000
KILL_WITHIN_S = (0.0, 0.4)  # after a call is under way
BUSY_TIMEOUT_S = 15  # a round kills then all the same: what it starts may wait for a worker that was lost before
SETTLE_TIMEOUT_S = 90  # for what is still under way after the last kill
RECOVERY_LIMIT_S = 20.0  # heartbeat timeout, and 10 s more


@dataclass(frozen=True, slots=True)
class Size:
    executions: int
    kills: int
    seed: int = 1
    latency_ms: tuple[float, float] = (50, 250)  # long enough for most kills to find a call of their worker under way


@dataclass(slots=True)
class Report:
    """What a run came to. Times in seconds."""

    size: Size
    problems: list[str] = field(default_factory=list[str])
    figures: dict[str, float | int] = field(default_factory=dict[str, float | int])

    def text(self) -> str:
        lines = [f"  {name:<52}{value:>10}" for name, value in self.figures.items()]
        verdict = ["  every invariant holds"] if not self.problems else [f"  WRONG: {text}" for text in self.problems]
        return "\n".join([f"kill run, seed {self.size.seed}", *lines, *verdict])


class KillRun:
    """The executions of a run, and the kills."""

    def __init__(self, size: Size, system: System) -> None:
        self._size = size
        self._system = system
        self._random = random.Random(size.seed)
        self._started: dict[UUID, int] = {}

    async def run(self, workers: WorkerProcesses) -> None:
        """Kill as often as was asked for, and wait for the ends."""
        await self._system.effects.set_latency(*self._size.latency_ms)
        saved = await self._system.save(document(self._system.effects.url))
        for number in range(self._size.kills):
            await workers.all_ready()
            await self._start_some(saved, self._size.executions * (number + 1) // self._size.kills)
            await self._busy()
            await asyncio.sleep(self._random.uniform(*KILL_WITHIN_S))
            await workers.kill(self._random.randrange(workers.count))
        await self._all_ended()

    async def _start_some(self, saved: Saved, upto: int) -> None:
        async def start(n: int) -> None:
            self._started[await self._system.start(saved, {"n": n})] = n

        await asyncio.gather(*(start(FIRST_INPUT + number) for number in range(len(self._started), upto)))

    async def _busy(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(BUSY_TIMEOUT_S):
                while not await self._system.effects.under_way():  # noqa: ASYNC110  another process's state
                    await asyncio.sleep(0.01)

    async def _all_ended(self) -> None:
        """Wait until no execution runs; what still does after `SETTLE_TIMEOUT_S` is for the invariants to name."""
        waits = [asyncio.create_task(self._system.handle(one).result()) for one in self._started]
        _, late = await asyncio.wait(waits, timeout=SETTLE_TIMEOUT_S)
        for wait in late:
            wait.cancel()
        await asyncio.gather(*waits, return_exceptions=True)

    async def evidence(self) -> Evidence:
        system = self._system
        calls = await system.effects.calls()
        return await gather(system.database, system.temporal, system.tenant, self._started, calls)


async def run_kills(size: Size, data_dir: Path) -> Report:
    """Everything from the servers up to the report."""
    async with running_system(data_dir) as system, WorkerProcesses(system.settings, system.temporal) as workers:
        run = KillRun(size, system)
        began = time.monotonic()
        await run.run(workers)
        took = time.monotonic() - began
        return _report(size, await run.evidence(), workers, took)


def _report(size: Size, evidence: Evidence, workers: WorkerProcesses, took: float) -> Report:
    report = Report(size, violations(evidence))
    histories = [one.history for one in evidence.witnessed]
    nodes = [node for history in histories for node in history.nodes]
    repeated = len(evidence.calls) - len({call.key for call in evidence.calls})
    recoveries = recovery_times(evidence.calls)
    report.figures = {
        "executions": len(evidence.witnessed),
        "kills": len(workers.kills),
        "kills that cut off a call": kills_that_cut(evidence.calls, workers.kills),
        "calls": len(evidence.calls),
        "calls cut off by a kill": sum(call.cut for call in evidence.calls),
        "effects repeated before their acknowledgement": repeated,
        "  of which had been answered": repeated - sum(call.cut for call in evidence.calls),
        "node activities tried again": sum(node.tries > 1 for node in nodes),
        "most tries of one node": max(node.tries for node in nodes),
        "nodes that lost two workers": sum(node.tries > 2 for node in nodes),
        "workflow tasks lost": sum(history.lost_workflow_tasks for history in histories),
        "longest recovery, from the cut to the next call (s)": round(max(recoveries, default=0.0), 2),
        "longest silence in a history (s)": round(max(history.longest_silence_s for history in histories), 2),
        "largest history (events)": max(history.events for history in histories),
        "the run took (s)": round(took, 1),
    }
    report.problems += slow_recoveries(evidence.calls, {node.key: node.tries for node in nodes})
    report.problems += [f"{process} of a killed worker still runs" for process in workers.orphans()]
    return report


def kills_that_cut(calls: list[Call], kills: list[float]) -> int:
    """How many kills found a call under way."""
    cuts = [call.ended_at for call in calls if call.cut]
    return sum(any(-0.05 <= cut - kill <= 1.0 for cut in cuts) for kill in kills)


def slow_recoveries(calls: list[Call], tries: dict[str, int]) -> list[str]:
    """Calls that were cut off and made again too late. `tries` are Temporal's, by idempotency key.

    A try of the same node whose worker was lost before it called, which is one more than it made calls, has a limit of
    its own.
    """
    by_key: dict[str, list[Call]] = defaultdict(list)
    for call in calls:
        by_key[call.key].append(call)
    problems: list[str] = []
    for key, same in by_key.items():
        limit_s = RECOVERY_LIMIT_S * (1 + max(0, tries.get(key, 0) - len(same)))
        problems += [
            f"it took {seconds:.1f} s until {key} was called again; limit {limit_s:g} s"
            for seconds in recovery_times(same)
            if seconds > limit_s
        ]
    return problems


def recovery_times(calls: list[Call]) -> list[float]:
    """For each call that was cut off and made again, the seconds between the two."""
    by_key: dict[str, list[Call]] = defaultdict(list)
    for call in calls:
        by_key[call.key].append(call)
    pairs = [(one, later) for same in by_key.values() for one, later in itertools.pairwise(same)]
    return [later.started_at - one.ended_at for one, later in pairs if one.cut]


def main() -> None:
    """Run with the size of the arguments; exit code 1 if an invariant does not hold."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--executions", type=int, default=200)
    parser.add_argument("--kills", type=int, default=60)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with open_folder() as data_dir:
        report = asyncio.run(run_kills(Size(options.executions, options.kills, options.seed), data_dir))
    print(report.text())
    sys.exit(1 if report.problems else 0)


if __name__ == "__main__":
    main()
