"""Starts what waits, be it stranded or for a slot, makes Temporal's Schedules equal the rows, and does the upkeep.

Several may run at once: starting the same execution twice starts it once, and one of them keeps the schedules, and one
the upkeep.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from uuid import UUID

from engine.activities.clients.objects import ObjectStore, Values
from engine.activities.clients.redis_upkeep import LiveUpkeep
from engine.activities.clients.temporal import protection_of
from engine.activities.events.dispatching import Dispatcher, combined
from engine.activities.events.filters import Filters
from engine.activities.events.opening import Opener
from engine.activities.events.telling import EventHandlers
from engine.activities.health import serving_health
from engine.activities.launching import TemporalLink, launch
from engine.activities.notifications.telling import Notifier
from engine.activities.observability import observed, watched
from engine.activities.readiness import dependencies
from engine.activities.sampling import Sampler
from engine.activities.schedules.keeping import ScheduleKeeper
from engine.activities.schedules.sync import ScheduleSync
from engine.activities.starting import Versions, input_of
from engine.activities.upkeep.keeping import UpkeepKeeper
from engine.activities.upkeep.reconciling import Reconciler
from engine.activities.upkeep.retaining import Retainer
from engine.activities.upkeep.sweeping import Sweeper
from engine.activities.upkeep.temporal_ends import TemporalEnds
from engine.errors import ConfigurationError, NotFound, StructForgeError, SystemFault
from engine.expressions import AstReferenceParser
from engine.nodes.registry import catalogue_of
from engine.settings import Settings, load_settings
from engine.telemetry import metrics
from models.repositories.executions import Executions
from models.repositories.node_executions import NodeExecutions
from models.rows import TERMINAL_EXECUTION_STATUSES, Finish
from models.session import Database
from models.tables import Execution
from models.tenancy import TenantId, mint_tenant

EVERY_S = 1.0
STRANDED_AFTER = timedelta(seconds=2)
# A child is started by its parent; only one that was given up is the relay's business.
CHILD_STRANDED_AFTER = timedelta(seconds=30)
RELEASED = "structforge_released"  # what PostgreSQL tells when an execution that waited has a slot
BATCH = 100
AT_ONCE = 20
LONGEST_WAIT_S = 60.0
_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Relay:
    """Starts what waits. A start that fails is tried again after a pause that grows to `LONGEST_WAIT_S`."""

    settings: Settings
    database: Database
    values: Values
    temporal: TemporalLink
    versions: Versions
    started: int = 0
    _released: asyncio.Event = field(default_factory=asyncio.Event)
    _failed: dict[UUID, tuple[int, float]] = field(default_factory=dict[UUID, tuple[int, float]])

    async def run_forever(self) -> None:
        """One pass each `EVERY_S`, and at once when a slot is handed on; servers that are away are waited out."""
        listening = asyncio.create_task(self._listen_forever())
        try:
            while True:
                self._released.clear()
                try:
                    await self.run_once()
                except SystemFault as fault:
                    _log.warning("the relay waits: %s", fault)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(EVERY_S):
                        await self._released.wait()
        finally:
            listening.cancel()

    async def _listen_forever(self) -> None:
        """Hear of slots that are handed on; while nobody hears, the passes find them."""
        while True:
            try:
                async with self.database.listening(RELEASED, lambda _: self._released.set()) as lost:
                    self._released.set()  # what was told before
                    await lost.wait()
            except SystemFault:
                await asyncio.sleep(EVERY_S)

    async def run_once(self) -> int:
        """Start what has waited too long; how many were started. Raises: SystemFault if PostgreSQL is away."""
        executions = Executions(self.database)
        waiting = await executions.pending_starts(STRANDED_AFTER, limit=BATCH + len(self._failed))
        ids = {execution.id for execution in waiting}
        self._failed = {key: value for key, value in self._failed.items() if key in ids}
        due = [execution for execution in waiting if self._is_due(execution)]
        gate = asyncio.Semaphore(AT_ONCE)

        async def relay(execution: Execution) -> bool:
            async with gate:
                return await self._relay(execution)

        count = sum(await asyncio.gather(*map(relay, due)))
        self.started += count
        return count

    def _is_due(self, execution: Execution) -> bool:
        age = datetime.now(UTC) - (execution.released_at or execution.created_at)
        if execution.parent_execution_id is not None and age < CHILD_STRANDED_AFTER:
            return False
        return self._failed.get(execution.id, (0, 0.0))[1] <= time.monotonic()

    async def _relay(self, execution: Execution) -> bool:
        # The tenant comes out of the record, under the policy that the relay has been given.
        tenant = mint_tenant(execution.tenant_id)
        try:
            if await self._is_orphan(tenant, execution):
                await self._close_orphan(tenant, execution)
                return False
            request = await input_of(self.database, self.versions, tenant, execution, values=self.values)
            queue = self.settings.worker.task_queue
            is_new = await launch(self.temporal, request, task_queue=queue, priority=execution.priority)
            # Whoever started it: it is no longer pending, so it is not asked about again.
            await Executions(self.database).mark_running(tenant, execution.id)
        except Exception as error:
            self._note_failure(execution, error)
            return False
        if is_new:
            metrics.RELAYED_STARTS.inc()
            _log.info("execution %s was stranded and is started now", execution.id)
        return is_new

    async def _is_orphan(self, tenant: TenantId, execution: Execution) -> bool:
        """A child that its parent has not started and never will."""
        if execution.parent_execution_id is None:
            return False
        try:
            parent = await Executions(self.database).get(tenant, execution.parent_execution_id)
        except NotFound:
            return True
        handle = await self.temporal.handle(tenant, execution.id)
        return parent.status in TERMINAL_EXECUTION_STATUSES and not await self.temporal.exists(handle)

    async def _close_orphan(self, tenant: TenantId, execution: Execution) -> None:
        error = {"code": "CANCELLED", "message": "its parent ended before it began", "details": {}, "retryable": False}
        finish = Finish(tenant, execution.id, "cancelled", 0, 0, datetime.now(UTC), error=error)
        await NodeExecutions(self.database).write([], finishes=[finish])

    def _note_failure(self, execution: Execution, error: Exception) -> None:
        """One bad row must not keep the others from starting."""
        count = self._failed.get(execution.id, (0, 0.0))[0] + 1
        self._failed[execution.id] = (count, time.monotonic() + min(LONGEST_WAIT_S, EVERY_S * 2 ** (count - 1)))
        known = isinstance(error, StructForgeError)
        _log.warning("execution %s is not started yet: %s", execution.id, error, exc_info=None if known else error)


@contextlib.asynccontextmanager
async def open_relay(settings: Settings) -> AsyncGenerator[Relay]:
    """Raises: ConfigurationError if an address is not set; SystemFault if PostgreSQL does not answer."""
    url, address = settings.database.url, settings.temporal.address
    if url is None or address is None:
        raise ConfigurationError("the scheduler needs STRUCTFORGE_DATABASE__URL and STRUCTFORGE_TEMPORAL__ADDRESS")
    database = await Database.open(url.get_secret_value(), pool_size=settings.database.pool_size)
    try:
        objects = ObjectStore.of(settings)
        temporal = TemporalLink(
            address, settings.temporal.namespace, objects, protection_of(settings), settings.fairness
        )
        versions = Versions(database, catalogue_of(settings), AstReferenceParser())
        yield Relay(settings, database, Values(objects), temporal, versions)
    finally:
        await database.close()


def schedule_keeper(relay: Relay) -> ScheduleKeeper:
    """The keeper of schedules, on the relay's connections."""
    sync = ScheduleSync(relay.database, relay.temporal, relay.values, relay.settings.worker.task_queue)
    return ScheduleKeeper(relay.database, sync, f"{socket.gethostname()}:{os.getpid()}")


@contextlib.asynccontextmanager
async def open_dispatcher(relay: Relay) -> AsyncGenerator[Dispatcher]:
    """The dispatcher of the outbox, on the relay's connections."""
    limits = relay.settings.limits
    filters = Filters(timeout_s=limits.expression_timeout_s, memory_bytes=limits.expression_memory_bytes)
    opener = Opener(
        relay.database,
        relay.values,
        relay.versions,
        relay.temporal,
        relay.settings.worker.task_queue,
        limits.inline_output_bytes,
        filters,
    )
    events = EventHandlers(relay.database, opener, limits.event_depth)
    try:
        notifier = Notifier(relay.database, relay.temporal, relay.settings)
        yield Dispatcher(relay.database, combined(events.handlers(), notifier.handlers()))
    finally:
        await filters.close()


@contextlib.asynccontextmanager
async def open_upkeep(relay: Relay) -> AsyncGenerator[UpkeepKeeper]:
    """Reconciler, retention and sweeper, on the relay's connections."""
    settings, database = relay.settings, relay.database
    upkeep, kept = settings.upkeep, settings.retention
    live = None if settings.redis.url is None else LiveUpkeep.open(settings.redis.url.get_secret_value())
    try:
        yield UpkeepKeeper(
            database,
            Reconciler(
                database,
                TemporalEnds(relay.temporal, settings.temporal.namespace),
                live,
                timedelta(seconds=upkeep.grace_s),
                timedelta(days=kept.executions_days) if kept.executions_days else None,
            ),
            Retainer(database, settings),
            Sweeper(database, ObjectStore.of(settings), timedelta(days=kept.objects_days)),
            f"{socket.gethostname()}:{os.getpid()}",
            upkeep.reconcile_every_s,
            upkeep.retain_every_s,
        )
    finally:
        if live is not None:
            await live.close()


def samplers(relay: Relay) -> list[Sampler]:
    """Who sets the gauges over the installation; nobody while metrics are not shown."""
    settings = relay.settings
    if settings.metrics.port is None:
        return []
    queues = sorted({settings.worker.task_queue, *settings.worker.routes.values()})
    holder = f"{socket.gethostname()}:{os.getpid()}"
    namespace, every_s = settings.temporal.namespace, settings.metrics.sample_s
    return [Sampler(relay.database, relay.temporal, namespace, queues, holder, every_s)]


async def serve(settings: Settings) -> None:
    """Relay until SIGINT or SIGTERM; a pass that is under way ends first."""
    with observed("scheduler", settings):
        await _serve(settings)


async def _serve(settings: Settings) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with (
        open_relay(settings) as relay,
        open_dispatcher(relay) as dispatcher,
        open_upkeep(relay) as upkeep,
        watched(settings, relay.database, temporal=relay.temporal.check),
        serving_health(settings.health, dependencies(relay.database, ObjectStore.of(settings), relay.temporal.check)),
    ):
        keeper = schedule_keeper(relay)
        parts = (relay, keeper, dispatcher, upkeep, *samplers(relay))
        running = {asyncio.create_task(one.run_forever()) for one in parts}
        stopped = asyncio.create_task(stop.wait())
        await asyncio.wait({*running, stopped}, return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        for task in running:
            if task.done():
                task.result()
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


def main() -> None:
    """Entry point of a scheduler process."""
    asyncio.run(serve(load_settings()))


if __name__ == "__main__":
    main()
