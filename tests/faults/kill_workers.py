"""The kill run: executions go on while one of two workers is killed by kill -9, again and again.

`python -m tests.faults.kill_workers --executions 200 --kills 60` prints a report and ends with 1 if anything is wrong.
A round waits until both workers are ready, starts some executions, waits a random moment and kills one of the two.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import random
import sys
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID, uuid4

from temporalio.client import Client

from engine.activities.clients.objects import ObjectStore
from engine.activities.clients.temporal import connect
from engine.activities.starting import Versions, execution_input
from engine.contracts import EXECUTION_WORKFLOW, temporal_id
from engine.dag.values import inline
from engine.expressions import AstReferenceParser
from engine.nodes.registry import built_in_catalogue
from engine.settings import Settings
from models.repositories.executions import Executions, Hold, NewExecution
from models.repositories.tenants import Tenants
from models.repositories.workflows import Saved, Workflows
from models.session import Database
from models.tenancy import TenantId, mint_tenant
from structforge.devstack.application import running_servers
from tests.faults.effects import Call, EffectServer, running_effects
from tests.faults.evidence import Evidence, gather
from tests.faults.graph import NODES, document
from tests.faults.invariants import violations
from tests.faults.worker_processes import WorkerProcesses
from tests.structforge.devstack.conftest import open_folder, settings_for

KILL_WITHIN_S = (0.05, 0.9)  # after the executions of a round have started
SETTLE_TIMEOUT_S = 90  # for what is still under way after the last kill
RECOVERY_LIMIT_S = 20.0  # heartbeat timeout, and 10 s more


@dataclass(frozen=True, slots=True)
class Size:
    executions: int
    kills: int
    seed: int = 1


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
    """The executions of a run, on servers that are up."""

    def __init__(self, size: Size, database: Database, temporal: Client, settings: Settings) -> None:
        self._size = size
        self._database = database
        self._temporal = temporal
        self._queue = settings.worker.task_queue
        self._random = random.Random(size.seed)
        self._tenant: TenantId = mint_tenant(uuid4())
        self._versions = Versions(database, built_in_catalogue(), AstReferenceParser())
        self._started: dict[UUID, int] = {}

    async def run(self, workers: WorkerProcesses, effects: EffectServer) -> tuple[Evidence, float]:
        """Kill as often as was asked for, wait for the ends, and collect the evidence; with the time it took."""
        await Tenants(self._database).ensure(self._tenant, "faults")
        saved = await Workflows(self._database).create(self._tenant, document(effects.url))
        began = time.monotonic()
        for number in range(self._size.kills):
            await workers.all_ready()
            await self._start_some(saved, self._size.executions * (number + 1) // self._size.kills)
            await asyncio.sleep(self._random.uniform(*KILL_WITHIN_S))
            await workers.kill(self._random.randrange(workers.count))
        await self._all_ended()
        took = time.monotonic() - began
        calls = await effects.calls()
        return await gather(self._database, self._temporal, self._tenant, self._started, calls), took

    async def _start_some(self, saved: Saved, upto: int) -> None:
        numbers = range(len(self._started), upto)
        await asyncio.gather(*(self._start_one(saved, 1000 + number) for number in numbers))

    async def _start_one(self, saved: Saved, n: int) -> None:
        new = NewExecution(
            workflow_id=saved.workflow.id,
            version_id=saved.version.id,
            workflow_name=saved.workflow.name,
            input=inline({"n": n}),
            trigger_node="start",
            node_total=NODES,
        )
        self._started[new.id] = n
        await Executions(self._database).create_execution(self._tenant, new, holds=[Hold("kill_run", "all")])
        await self._temporal.start_workflow(
            EXECUTION_WORKFLOW,
            await execution_input(self._database, self._versions, self._tenant, new.id),
            id=temporal_id(str(self._tenant), str(new.id)),
            task_queue=self._queue,
        )

    async def _all_ended(self) -> None:
        """Wait until no execution runs; what still does after `SETTLE_TIMEOUT_S` is for the invariants to name."""
        handles = [
            self._temporal.get_workflow_handle(temporal_id(str(self._tenant), str(one))) for one in self._started
        ]
        waits = [asyncio.create_task(handle.result()) for handle in handles]
        _, late = await asyncio.wait(waits, timeout=SETTLE_TIMEOUT_S)
        for wait in late:
            wait.cancel()
        await asyncio.gather(*waits, return_exceptions=True)


async def run_kills(size: Size, data_dir: Path) -> Report:
    """Everything from the servers up to the report."""
    settings = settings_for(data_dir).override(
        {"http": {"allowed_hosts": ["127.0.0.1"]}, "worker": {"evaluator_processes": 1}}
    )
    async with running_effects(data_dir.parent / "effects.log") as effects, running_servers(settings) as servers:
        served = servers.settings
        assert served.database.url is not None
        assert served.temporal.address is not None
        objects = ObjectStore.open(served.objects_url)
        temporal = await connect(served.temporal.address, served.temporal.namespace, objects)
        database = await Database.open(served.database.url.get_secret_value(), pool_size=5)
        try:
            async with WorkerProcesses(served, temporal) as workers:
                evidence, took = await KillRun(size, database, temporal, served).run(workers, effects)
                return _report(size, evidence, workers, took)
        finally:
            await database.close()


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
        "workflow tasks lost": sum(history.lost_workflow_tasks for history in histories),
        "longest recovery, from the cut to the next call (s)": round(max(recoveries, default=0.0), 2),
        "longest silence in a history (s)": round(max(history.longest_silence_s for history in histories), 2),
        "largest history (events)": max(history.events for history in histories),
        "the run took (s)": round(took, 1),
    }
    slow = [seconds for seconds in recoveries if seconds > RECOVERY_LIMIT_S]
    report.problems += [f"it took {seconds:.1f} s until a call that was cut off was made again" for seconds in slow]
    report.problems += [f"{process} of a killed worker still runs" for process in workers.orphans()]
    return report


def kills_that_cut(calls: list[Call], kills: list[float]) -> int:
    """How many kills found a call under way."""
    cuts = [call.ended_at for call in calls if call.cut]
    return sum(any(-0.05 <= cut - kill <= 1.0 for cut in cuts) for kill in kills)


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
