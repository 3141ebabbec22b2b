"""The run of edits: schedule rows change at random while two schedulers sync them, are killed, and Temporal is too.

Rows are made, changed, paused and deleted; their workflows are published, archived, restored and deleted, also with
timer nodes. At the end Temporal must hold exactly the schedules of the rows, each as a fresh one made from its row.
`python -m tests.faults.edit_schedules --edits 500 --kills 10 --restarts 5 --seed 1` (`make edit-schedules`).
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from temporalio.client import Client
from temporalio.service import RPCError

from engine.activities.clients.objects import ObjectStore
from engine.activities.clients.temporal import connect, protection_of
from engine.activities.schedules.keeping import KIND
from engine.activities.schedules.mapping import PREFIX, Mark, digest_of, read_mark, schedule_id, temporal_schedule
from engine.errors import SystemFault
from engine.settings import Settings, load_settings
from models.migrations import upgrade
from models.repositories.schedules import Desired, Schedules
from models.repositories.tenants import Tenants
from models.session import Database
from models.tenancy import mint_tenant
from structforge.devstack.stack import EmbeddedStack
from tests.engine.workflows.lab import FREE_PORTS, open_folder
from tests.faults.kill_schedulers import kill, start_scheduler
from tests.faults.schedule_edits import Editor

# As long as a change can take that nobody heard of: one sweep, and the start of a scheduler and of Temporal.
SETTLE_S = 120
LONGEST_PAUSE_S = 0.12
READY_WITHIN_S = 120


@dataclass(slots=True)
class Report:
    """What a run has done, and what it found wrong."""

    edits: Counter[str] = field(default_factory=Counter[str])
    schedules: int = 0
    kills: int = 0
    restarts: int = 0
    settled_s: float = 0.0
    violations: list[str] = field(default_factory=list[str])

    def text(self) -> str:
        done = "  ".join(f"{name} {count}" for name, count in sorted(self.edits.items()))
        figures = (
            f"edits {self.edits.total()}  schedules at the end {self.schedules}  scheduler kills {self.kills}  "
            f"Temporal restarts {self.restarts}  equal after {self.settled_s:.1f} s  violations {len(self.violations)}"
        )
        return "\n".join([figures, done, *(f"violated: {one}" for one in self.violations)])


@dataclass(slots=True)
class Servers:
    """Running servers and two schedulers.

    A scheduler, or Temporal, is killed only while a scheduler leads: where none ever does, nothing would be proved.
    """

    stack: EmbeddedStack
    settings: Settings
    database: Database
    temporal: Client
    schedulers: list[asyncio.subprocess.Process] = field(default_factory=list[asyncio.subprocess.Process])
    kills: int = 0
    crashes: int = 0

    async def start_schedulers(self) -> None:
        self.schedulers = [await start_scheduler(self.settings) for _ in range(2)]

    async def kill_leader(self) -> None:
        """The other one has to take over, and a new one stands by."""
        leader = await self.leader()
        self.crashes += await kill(leader)
        self.kills += 1
        self.schedulers = [one for one in self.schedulers if one is not leader] + [await start_scheduler(self.settings)]

    async def kill_temporal(self) -> None:
        """It is started again on its data."""
        await self.leader()
        async with asyncio.timeout(READY_WITHIN_S):
            while "temporal" not in self.stack.pids:  # noqa: ASYNC110 (it still is being started again)
                await asyncio.sleep(0.05)
        os.kill(self.stack.pids["temporal"], signal.SIGKILL)

    async def leader(self) -> asyncio.subprocess.Process:
        """The scheduler that keeps the schedules, once one does."""
        async with asyncio.timeout(READY_WITHIN_S):
            while True:
                async with self.database.connection() as connection:
                    holder = await connection.fetchval("SELECT holder FROM leadership WHERE kind = $1", KIND)
                for one in self.schedulers:
                    if holder is not None and holder.endswith(f":{one.pid}"):
                        return one
                await asyncio.sleep(0.05)

    async def end_schedulers(self) -> None:
        for one in self.schedulers:
            self.crashes += await kill(one)


@asynccontextmanager
async def open_servers() -> AsyncGenerator[Servers]:
    with open_folder() as data_dir:
        # Without encryption two payloads of the same content are the same bytes.
        wanted = load_settings(
            data_dir=data_dir, embedded={**FREE_PORTS, "start_timeout_s": 180}, codec={"encrypt": False}
        )
        stack = EmbeddedStack(wanted)
        async with stack as endpoints:
            await upgrade(endpoints.owner_url)
            settings = endpoints.settings
            objects = ObjectStore.open(settings.objects_url)
            place, namespace = endpoints.temporal_address, settings.temporal.namespace
            temporal = await connect(place, namespace, objects, protection_of(settings))
            database = await Database.open(endpoints.database_url, pool_size=4)
            try:
                yield Servers(stack, settings, database, temporal)
            finally:
                await database.close()


async def run(edits: int, kills: int, restarts: int, seed: int) -> Report:
    """Edit while servers and schedulers come and go, then wait until Temporal equals the rows."""
    dice = random.Random(seed)
    report = Report()
    async with open_servers() as servers:
        tenant = mint_tenant(uuid4())
        await Tenants(servers.database).ensure(tenant, "edited")
        editor = Editor(servers.database, tenant, dice)
        await editor.open()
        await servers.start_schedulers()
        try:
            await servers.leader()
            await _edit(servers, editor, edits, _moments(dice, edits, kills), _moments(dice, edits, restarts))
            began = time.monotonic()
            report.violations = await _settled(servers)
            report.settled_s = time.monotonic() - began
        finally:
            await servers.end_schedulers()
        if servers.crashes:
            report.violations.append(f"{servers.crashes} schedulers ended by themselves")
        report.edits, report.kills = editor.done, servers.kills
        report.restarts = servers.stack.restarts["temporal"]
        report.schedules = len(await Schedules(servers.database).desired())
    return report


def _moments(dice: random.Random, edits: int, count: int) -> set[int]:
    """Numbers of edits, one in each of `count` equal parts of the run."""
    part = edits // max(1, count)
    return {part * number + dice.randrange(part) for number in range(count)}


async def _edit(servers: Servers, editor: Editor, edits: int, kills: set[int], restarts: set[int]) -> None:
    for number in range(edits):
        await editor.edit()
        if number in restarts:
            await servers.kill_temporal()
        if number in kills:
            await servers.kill_leader()
        await asyncio.sleep(editor.dice.uniform(0, LONGEST_PAUSE_S))


async def _settled(servers: Servers) -> list[str]:
    """What is still different after `SETTLE_S`; returns as soon as nothing is."""
    references: dict[str, Any] = {}
    found = ["Temporal did not answer"]
    ends_at = time.monotonic() + SETTLE_S
    while found and time.monotonic() < ends_at:
        await asyncio.sleep(0.3)
        try:
            found = await differences(servers, references)
        except (RPCError, SystemFault) as error:  # it is being started again
            found = [f"Temporal did not answer: {error}"]
    return found


async def differences(servers: Servers, references: dict[str, Any]) -> list[str]:
    """Every schedule that is missing, too many, or other than its row says. `references` are kept between calls."""
    wanted = {schedule_id(one.schedule): one for one in await Schedules(servers.database).desired()}
    listed = {one.id async for one in await servers.temporal.list_schedules() if one.id.startswith(PREFIX)}
    found = [f"{identifier} is in Temporal alone" for identifier in sorted(listed - wanted.keys())]
    found += [f"{identifier} is not in Temporal" for identifier in sorted(wanted.keys() - listed)]
    for identifier in sorted(listed & wanted.keys()):
        found += await _compare(servers, identifier, wanted[identifier], references)
    return found


async def _compare(servers: Servers, identifier: str, desired: Desired, references: dict[str, Any]) -> list[str]:
    row, queue = desired.schedule, servers.settings.worker.task_queue
    description = await servers.temporal.get_schedule_handle(identifier).describe()
    mark = read_mark(description.schedule.state.note)
    if mark is None or mark.digest != digest_of(desired, queue) or mark.max_runs != (row.max_runs or 0):
        return [f"{identifier}: the mark {mark} is of another row than {row.name!r} in revision {row.revision}"]
    if identifier not in references:
        references[identifier] = await _reference(servers.temporal, desired, queue)
    there, fresh = _plain(description.raw_description.schedule), references[identifier]
    names = ("spec", "action", "policies", "state")
    return [
        f"{identifier} ({row.name!r}): {name} is\n{getattr(there, name)}and should be\n{getattr(fresh, name)}"
        for name in names
        if getattr(there, name) != getattr(fresh, name)
    ]


async def _reference(temporal: Client, desired: Desired, queue: str) -> Any:
    """What Temporal itself makes of the row, from a schedule that is made anew and is gone at once."""
    made = temporal_schedule(desired, queue, Mark("", 0, 0), remaining=desired.schedule.max_runs)
    handle = await temporal.create_schedule(f"reference:{uuid4()}", made)
    try:
        return _plain((await handle.describe()).raw_description.schedule)
    finally:
        await handle.delete()


def _plain(schedule: Any) -> Any:
    """Without the note, which names the leader that wrote it."""
    copy = type(schedule)()
    copy.CopyFrom(schedule)
    copy.state.notes = ""
    return copy


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--edits", type=int, default=500)
    parser.add_argument("--kills", type=int, default=10, help="of the scheduler that leads")
    parser.add_argument("--restarts", type=int, default=5, help="of Temporal, by kill -9")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    report = asyncio.run(run(options.edits, options.kills, options.restarts, options.seed))
    print(report.text())
    return 1 if report.violations else 0


if __name__ == "__main__":
    sys.exit(main())
