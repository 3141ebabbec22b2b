"""Keeping schedules: one process of the installation does, the others stand by."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from uuid import UUID

from engine.activities.schedules.sync import ScheduleSync, Workflow
from engine.errors import SystemFault
from engine.telemetry import metrics
from models.repositories.leadership import Term, lead
from models.session import Database

KIND = "schedules"
CHANNEL = "structforge_schedules"
STANDBY_S = 1.0
CHECK_S = 1.0
SWEEP_S = 60.0
RETRY_S = 2.0
_log = logging.getLogger(__name__)


@dataclass(slots=True)
class ScheduleKeeper:
    """Leads if nobody else does, and then syncs what changes at once and everything now and then."""

    database: Database
    sync: ScheduleSync
    holder: str
    sweep_s: float = SWEEP_S
    leading: bool = False
    _changed: dict[Workflow, None] = field(default_factory=dict[Workflow, None])
    _heard: asyncio.Event = field(default_factory=asyncio.Event)

    async def run_forever(self) -> None:
        """Until cancelled. PostgreSQL or Temporal being away is waited out."""
        while True:
            try:
                async with lead(self.database, KIND, self.holder) as term:
                    if term is not None:
                        await self._serve(term)
            except (SystemFault, TimeoutError) as fault:
                _log.warning("schedules are not kept by this process: %s", fault)
            finally:
                self.leading = False
                metrics.LEADER.labels(KIND).set(0)
            await asyncio.sleep(STANDBY_S)

    async def _serve(self, term: Term) -> None:
        self.leading, self.sync.epoch = True, term.epoch
        metrics.LEADER.labels(KIND).set(1)
        _log.info("this process keeps the schedules now, in epoch %d", term.epoch)
        await term.listen(CHANNEL, self._note)
        loop = asyncio.get_running_loop()
        sweep_at = 0.0
        while True:
            await term.check()
            try:
                if loop.time() >= sweep_at:
                    self._changed.clear()  # the sweep sees them too
                    await self.sync.sweep()
                    sweep_at = loop.time() + self.sweep_s
                await self._sync_changed()
            except SystemFault as fault:
                _log.warning("schedules wait: %s", fault)
                sweep_at = 0.0
                await asyncio.sleep(RETRY_S)
            await self._wait()

    async def _sync_changed(self) -> None:
        while self._changed:
            workflow = next(iter(self._changed))
            del self._changed[workflow]
            try:
                await self.sync.workflow(workflow)
            except SystemFault:
                self._changed[workflow] = None
                raise

    async def _wait(self) -> None:
        try:
            async with asyncio.timeout(CHECK_S):
                await self._heard.wait()
        except TimeoutError:
            return
        finally:
            self._heard.clear()

    def _note(self, payload: str) -> None:
        tenant, _, workflow = payload.partition(" ")
        try:
            self._changed[UUID(tenant), UUID(workflow)] = None
        except ValueError:
            _log.warning("a notification about schedules names no workflow: %.80s", payload)
            return
        self._heard.set()
