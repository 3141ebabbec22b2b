"""Random edits of schedule rows and of the workflows that they belong to. Nothing that they make is due soon."""

from __future__ import annotations

import contextlib
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from engine.activities.schedules.mapping import OVERLAPS
from engine.dag.values import inline
from engine.errors import Conflict
from models.repositories.schedules import Rule, Schedules
from models.repositories.workflows import Workflows
from models.session import Database
from models.tables import Schedule
from models.tenancy import TenantId

WORKFLOWS = 5
# Names are few, so that they clash: with each other, and with those that the rows of timer nodes have.
NAMES = ("nightly", "weekly", "timer clock", "timer watch", "report", "prüfen", "月次", "x" * 80)
# Once a year at most; what stands here is not due while the run lasts, in no time zone.
CRONS = ("0 0 29 2 *", "30 2 1 jan *", "15 4 25-31 12 fri", "5 */6 3,4 feb mon-thu", "0 12 1 1 * 2040", "@yearly")
ZONES = ("UTC", "Europe/Paris", "America/New_York", "Asia/Kolkata", "Pacific/Apia", "Australia/Lord_Howe")
STEP = {"id": "t", "type": "transform", "params": {"mapping": 1}}
_WEIGHTS = {"replace": 32, "create": 30, "pause": 14, "delete": 9, "publish": 8, "status": 6, "renew": 1}


@dataclass(slots=True)
class Editor:
    """Edits one tenant's schedules; `done` counts the edits by kind."""

    database: Database
    tenant: TenantId
    dice: random.Random
    done: Counter[str] = field(default_factory=Counter[str])
    _workflows: list[UUID] = field(default_factory=list[UUID])

    async def open(self) -> None:
        """The first workflows."""
        for _ in range(WORKFLOWS):
            await self._new_workflow()

    async def edit(self) -> None:
        """One edit that changes a row; refused ones are made anew until one is."""
        kinds: dict[str, Callable[[], Awaitable[bool]]] = {
            "replace": self._replace,
            "create": self._create,
            "pause": self._pause,
            "delete": self._delete,
            "publish": self._publish,
            "status": self._status,
            "renew": self._renew,
        }
        while True:
            (kind,) = self.dice.choices([*_WEIGHTS], [*_WEIGHTS.values()])
            with contextlib.suppress(Conflict):  # a name that is taken
                if await kinds[kind]():
                    self.done[kind] += 1
                    return

    # ---- rows

    async def _create(self) -> bool:
        await Schedules(self.database).create(self.tenant, self._rule(self.dice.choice(self._workflows)))
        return True

    async def _replace(self) -> bool:
        row = await self._any_row("api")
        if row is None:
            return False
        await Schedules(self.database).replace(self.tenant, row.id, self._rule(row.workflow_id))
        return True

    async def _pause(self) -> bool:
        row = await self._any_row()
        if row is None:
            return False
        await Schedules(self.database).set_paused(self.tenant, row.id, paused=not row.paused)
        return True

    async def _delete(self) -> bool:
        row = await self._any_row("api")
        if row is None:
            return False
        await Schedules(self.database).delete(self.tenant, row.id)
        return True

    async def _any_row(self, source: str | None = None) -> Schedule | None:
        page = await Schedules(self.database).list(self.tenant, limit=200)
        rows = sorted((row for row in page.items if source in (None, row.source)), key=lambda row: row.id)
        return self.dice.choice(rows) if rows else None

    def _rule(self, workflow_id: UUID) -> Rule:
        dice = self.dice
        begin = datetime(2031, 1, 1, tzinfo=UTC) + timedelta(seconds=dice.randrange(10**8))
        way: dict[str, Any] = dice.choice(
            [
                {"cron": dice.choice(CRONS)},
                {"every_s": float(dice.randrange(10**7, 10**8)), "starts_at": begin},
                {"at": begin},
            ]
        )
        return Rule(
            workflow_id,
            dice.choice(NAMES),
            timezone=dice.choice(ZONES),
            jitter_s=dice.choice([0.0, 0.0, 30.0, 90.5]),
            overlap=dice.choice(OVERLAPS),
            catchup_window_s=float(dice.randrange(10, 10**6)),
            ends_at=dice.choice([None, begin + timedelta(days=dice.randrange(1, 4000))]),
            max_runs=dice.choice([None, None, dice.randrange(1, 1000)]),
            enabled=dice.random() < 0.85,
            input=dice.choice([None, inline({"n": dice.randrange(1000)}), inline({"text": "ä" * dice.randrange(200)})]),
            **way,
        )

    # ---- workflows

    async def _publish(self) -> bool:
        number = self.dice.choice([None, 1, 1, 2, 2, 3, 3, 3])
        await Workflows(self.database).publish(self.tenant, self.dice.choice(self._workflows), number)
        return True

    async def _status(self) -> bool:
        status = self.dice.choice(["active"] * 6 + ["paused", "archived"])
        await Workflows(self.database).set_status(self.tenant, self.dice.choice(self._workflows), status)
        return True

    async def _renew(self) -> bool:
        """Delete a workflow, and make another one."""
        old = self._workflows.pop(self.dice.randrange(len(self._workflows)))
        await Workflows(self.database).set_status(self.tenant, old, "archived")
        await Workflows(self.database).delete(self.tenant, old)
        await self._new_workflow()
        return True

    async def _new_workflow(self) -> None:
        """Three versions: without a timer, with one, with two. The first is published."""
        name, rows = f"edited {uuid4().hex[:8]}", Workflows(self.database)
        clock, watch = self._timer("clock"), self._timer("watch")
        saved = await rows.create(self.tenant, _document(name, []), publish=True)
        await rows.save(self.tenant, saved.workflow.id, _document(name, [clock]))
        await rows.save(self.tenant, saved.workflow.id, _document(name, [self._timer("clock"), watch]))
        self._workflows.append(saved.workflow.id)

    def _timer(self, identifier: str) -> dict[str, Any]:
        params = {"cron": self.dice.choice(CRONS), "timezone": self.dice.choice(ZONES)}
        return {"id": identifier, "type": "timer", "params": params}


def _document(name: str, timers: list[dict[str, Any]]) -> dict[str, Any]:
    edges = [{"source": timer["id"], "target": STEP["id"]} for timer in timers]
    return {"schema_version": 1, "name": name, "nodes": [*timers, STEP], "edges": edges}
