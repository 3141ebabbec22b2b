"""The scheduler run: two scheduler processes are killed by kill -9 and started again at random while schedules fire.

Each schedule fires every second until it has fired `--ticks` times. At the end every schedule must have started exactly
that many executions, one for each second, and Temporal must hold exactly the schedules of the rows.
`python -m tests.faults.kill_schedulers --schedules 25 --ticks 10 --seed 1` (`make kill-schedulers`).
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import random
import signal
import sys
from collections import Counter
from datetime import timedelta
from itertools import pairwise
from uuid import UUID, uuid4

from engine.activities.schedules.mapping import PREFIX, schedule_id
from engine.settings import Settings
from models.ids import time_of_id
from models.repositories.execution_lists import ExecutionFilter, ExecutionLists
from models.repositories.schedules import Rule, Schedules
from models.repositories.tenants import Tenants
from models.repositories.workflows import Workflows
from models.session import Database
from models.tenancy import TenantId, mint_tenant
from structforge.devstack.application import child_environment
from tests.engine.workflows.lab import open_effects, open_servers, open_stack

DEADLINE_S = 180
LONGEST_S, SHORTEST_S = 2.0, 0.3
_DOCUMENT = {
    "schema_version": 1,
    "name": "fired",
    "nodes": [{"id": "t", "type": "transform", "params": {"mapping": 1}}],
    "edges": [],
}


class Schedulers:
    """Two scheduler processes, each killed and started again now and then."""

    def __init__(self, settings: Settings, dice: random.Random) -> None:
        self._settings = settings
        self._dice = dice
        self.kills = 0
        self.crashes = 0  # schedulers that have ended without being killed

    async def keep_killing(self) -> None:
        """Until cancelled; the processes end with it."""
        processes = [await start_scheduler(self._settings), await start_scheduler(self._settings)]
        try:
            while True:
                await asyncio.sleep(self._dice.uniform(SHORTEST_S, LONGEST_S))
                number = self._dice.randrange(2)
                self.crashes += await kill(processes[number])
                self.kills += 1
                processes[number] = await start_scheduler(self._settings)
        finally:
            for process in processes:
                self.crashes += await kill(process)


async def start_scheduler(settings: Settings) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "scheduler_sync",
        env=child_environment(settings),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )


async def kill(process: asyncio.subprocess.Process) -> bool:
    """By kill -9; whether the process had ended by itself before."""
    has_ended = process.returncode is not None
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(signal.SIGKILL)
    await process.wait()
    return has_ended


async def run(schedules: int, ticks: int, seed: int) -> list[str]:
    """What was violated; prints the figures."""
    async with open_servers() as settings, open_effects() as effects, open_stack(settings, effects) as stack:
        database = stack.runtime.database
        tenant = mint_tenant(uuid4())
        await Tenants(database).ensure(tenant, str(tenant))
        killers = Schedulers(settings, random.Random(seed))
        killing = asyncio.create_task(killers.keep_killing())
        try:
            workflows = await make_schedules(database, tenant, schedules, ticks)
            await until_all_have_fired(database, tenant, workflows, ticks)
        finally:
            killing.cancel()
            await asyncio.gather(killing, return_exceptions=True)
        violations = await wrong_fires(database, tenant, workflows, ticks)
        if killers.crashes:
            violations.append(f"{killers.crashes} schedulers ended by themselves")
        client = stack.runtime.temporal
        listed = {one.id async for one in await client.list_schedules() if one.id.startswith(PREFIX)}
        wanted = {schedule_id(one.schedule) for one in await Schedules(database).desired()}
        if listed != wanted:
            violations.append(f"Temporal holds {len(listed)} schedules and the rows name {len(wanted)}")
        print(f"schedules {schedules}  fires {schedules * ticks}  kills {killers.kills}  violations {len(violations)}")
        return violations


async def make_schedules(database: Database, tenant: TenantId, schedules: int, ticks: int) -> list[UUID]:
    made: list[UUID] = []
    for number in range(schedules):
        saved = await Workflows(database).create(tenant, {**_DOCUMENT, "name": f"fired {number}"})
        await Workflows(database).publish(tenant, saved.workflow.id, 1)
        rule = Rule(saved.workflow.id, "tick", every_s=1.0, max_runs=ticks, overlap="allow_all")
        await Schedules(database).create(tenant, rule)
        made.append(saved.workflow.id)
    return made


async def until_all_have_fired(database: Database, tenant: TenantId, workflows: list[UUID], ticks: int) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while True:
            ended = [len(await _ended(database, tenant, workflow)) for workflow in workflows]
            if all(count >= ticks for count in ended):
                break
            await asyncio.sleep(0.5)
    await asyncio.sleep(2.5)  # a fire too many would come within a second or two


async def _ended(database: Database, tenant: TenantId, workflow: UUID) -> list[UUID]:
    page = await ExecutionLists(database).page(tenant, ExecutionFilter(workflow_id=workflow), limit=200)
    return [one.id for one in page.items if one.finished_at is not None]


async def wrong_fires(database: Database, tenant: TenantId, workflows: list[UUID], ticks: int) -> list[str]:
    found: list[str] = []
    for workflow in workflows:
        page = await ExecutionLists(database).page(tenant, ExecutionFilter(workflow_id=workflow), limit=200)
        statuses = Counter(one.status for one in page.items)
        if statuses != {"success": ticks}:
            found.append(f"{workflow}: {dict(statuses)} instead of {ticks} successes")
        times = sorted(time_of_id(one.id) for one in page.items)
        if any(later - earlier != timedelta(seconds=1) for earlier, later in pairwise(times)):
            found.append(f"{workflow}: its fires are not a second apart")
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--schedules", type=int, default=25)
    parser.add_argument("--ticks", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    violations = asyncio.run(run(options.schedules, options.ticks, options.seed))
    for violation in violations:
        print(f"violated: {violation}", file=sys.stderr)
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main())
