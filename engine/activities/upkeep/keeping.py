"""Upkeep as a whole: one scheduler of the installation does it, the others stand by."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from engine.activities.upkeep.reconciling import Reconciler
from engine.activities.upkeep.retaining import Retainer
from engine.activities.upkeep.sweeping import Sweeper
from engine.errors import NodeError, SystemFault
from engine.telemetry import metrics
from models.repositories.leadership import Term, lead
from models.session import Database

KIND = "upkeep"
STANDBY_S = 5.0
CHECK_S = 1.0
SWEEP_EVERY_S = 86_400.0
SWEEP_FIRST_S = 600.0  # not while everything starts
_log = logging.getLogger(__name__)


@dataclass(slots=True)
class UpkeepKeeper:
    """Leads if nobody else does; then reconciles, retains and sweeps, each in its own pace and one after another."""

    database: Database
    reconciler: Reconciler
    retainer: Retainer
    sweeper: Sweeper
    holder: str
    reconcile_every_s: float
    retain_every_s: float
    sweep_every_s: float = SWEEP_EVERY_S
    sweep_first_s: float = SWEEP_FIRST_S
    leading: bool = False
    _due: dict[str, float] = field(default_factory=dict[str, float])

    async def run_forever(self) -> None:
        """Until cancelled. Servers that are away are waited out."""
        while True:
            try:
                async with lead(self.database, KIND, self.holder) as term:
                    if term is not None:
                        await self._serve(term)
            except (SystemFault, TimeoutError) as fault:
                _log.warning("upkeep is not done by this process: %s", fault)
            finally:
                self.leading = False
                metrics.LEADER.labels(KIND).set(0)
            await asyncio.sleep(STANDBY_S)

    async def _serve(self, term: Term) -> None:
        self.leading = True
        metrics.LEADER.labels(KIND).set(1)
        now = asyncio.get_running_loop().time()
        self._due = {"reconcile": now + self.reconcile_every_s, "retain": now, "sweep": now + self.sweep_first_s}
        while True:
            await term.check()
            await self._run_if_due(term, "reconcile", self.reconcile_every_s, self.reconciler.run_once)
            await self._run_if_due(term, "retain", self.retain_every_s, self.retainer.run_once)
            await self._run_if_due(term, "sweep", self.sweep_every_s, self.sweeper.run_once)
            await asyncio.sleep(CHECK_S)

    async def _run_if_due(self, term: Term, name: str, every_s: float, run: Callable[[], Awaitable[Any]]) -> None:
        """Run one kind of upkeep, and break it off if another process leads by now."""
        loop = asyncio.get_running_loop()
        if loop.time() < self._due[name]:
            return
        work = asyncio.ensure_future(run())
        try:
            while not (await asyncio.wait([work], timeout=CHECK_S))[0]:
                await term.check()
            work.result()
        except (SystemFault, NodeError) as fault:
            _log.warning("upkeep (%s) waits: %s", name, fault)
        except Exception:
            if not work.done():  # the term is over
                raise
            _log.exception("upkeep (%s) failed", name)
        finally:
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)
            self._due[name] = loop.time() + every_s
