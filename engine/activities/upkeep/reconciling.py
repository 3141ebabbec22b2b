"""The reconciler: compares PostgreSQL, Redis and Temporal, repairs what contradicts, and counts it by kind.

PostgreSQL is the record; Temporal knows best whether an execution runs and how it ended; Redis is put right by both.
Nothing is touched that is younger than the grace time, for what is on its way looks like a contradiction. Each repair
changes a thing only as it was found, so repeating it, or two at once, does no harm and counts nothing twice.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from engine.activities.clients.redis_upkeep import LiveHash, LiveUpkeep
from engine.activities.rows import finished_message
from engine.activities.upkeep.temporal_ends import End, Running, TemporalEnds
from engine.errors import SystemFault
from engine.telemetry import metrics
from models.repositories.executions import QUEUED, Executions
from models.repositories.node_executions import NodeExecutions
from models.repositories.repairs import Repairs, Standing
from models.repositories.upkeep_counts import UpkeepCounts
from models.rows import TERMINAL_EXECUTION_STATUSES, Finish
from models.session import Database
from models.tables import Execution
from models.tenancy import mint_tenant

BATCH = 500
AT_ONCE = 20
FIRST_LOOK_BACK = timedelta(days=1)  # at executions that have ended; later looks begin where the last one stopped
LONGEST_LEASE = timedelta(minutes=15)

EXECUTION_NOT_CLOSED = "execution_not_closed"
EXECUTION_INTERRUPTED = "execution_interrupted"
EXECUTION_NOT_MARKED = "execution_not_marked"
TEMPORAL_NOT_STOPPED = "temporal_not_stopped"
NODE_NOT_CLOSED = "node_not_closed"
APPROVAL_NOT_CLOSED = "approval_not_closed"
QUOTA_COUNTER_WRONG = "quota_counter_wrong"
WAITING_ROW_STALE = "waiting_row_stale"
WAITING_ROW_LOST = "waiting_row_lost"
SLOT_NOT_HANDED_ON = "slot_not_handed_on"
LIVE_VIEW_WRONG = "live_view_wrong"
RESULT_LEASE_STALE = "result_lease_stale"
MESSAGE_LEASE_STALE = "message_lease_stale"
AI_ROOM_STALE = "ai_room_stale"

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Reconciler:
    """One pass after another over everything, a bounded part of it each time.

    `keep_executions` is how long retention leaves executions, None for good: older counters cannot be recounted.
    """

    database: Database
    temporal: TemporalEnds
    live: LiveUpkeep | None
    grace: timedelta
    keep_executions: timedelta | None = None
    _after: UUID | None = None
    _looked_until: datetime | None = None
    _repaired: Counter[str] = field(default_factory=Counter[str])

    async def run_once(self) -> dict[str, int]:
        """Compare and repair; how many repairs of which kinds. A server that is away leaves its part for later."""
        self._repaired = Counter()
        for step in (
            self._executions,
            self._temporal_workflows,
            self._nodes,
            self._approvals,
            self._quotas,
            self._leases,
            self._live_view,
        ):
            await self._attempt(step)
        for kind, count in self._repaired.items():
            metrics.REPAIRS.labels(kind).inc(count)
            _log.warning("repaired %d: %s", count, kind)
        await UpkeepCounts(self.database).add(self._repaired)
        return dict(self._repaired)

    async def _attempt(self, step: Callable[[], Awaitable[None]]) -> None:
        try:
            await step()
        except (SystemFault, TimeoutError) as fault:
            _log.warning("a comparison waits: %s", fault)
        except Exception:  # one bad row must not keep the other comparisons from being made
            _log.exception("a comparison failed")

    def _note(self, kind: str, count: int = 1) -> None:
        if count:
            self._repaired[kind] += count

    @property
    def _until(self) -> datetime:
        return datetime.now(UTC) - self.grace

    @property
    def _repairs(self) -> Repairs:
        return Repairs(self.database)

    # ---- the record and Temporal

    async def _executions(self) -> None:
        """Rows that are open, against what Temporal says of each."""
        if not await self.temporal.knows_namespace():
            return
        rows = await Executions(self.database).open_executions(self.grace, after=self._after, limit=BATCH)
        self._after = rows[-1].id if len(rows) == BATCH else None
        gate = asyncio.Semaphore(AT_ONCE)

        async def compare(row: Execution) -> None:
            async with gate:
                await self._attempt(lambda: self._execution(row))

        await asyncio.gather(*(compare(row) for row in rows if row.reason != QUEUED and not self._is_fresh(row)))

    def _is_fresh(self, row: Execution) -> bool:
        return row.released_at is not None and row.released_at > self._until

    async def _execution(self, row: Execution) -> None:
        end = await self.temporal.end_of(row.tenant_id, row.id)
        if end is None:
            if row.status == "pending" and await self._repairs.mark_started(_place(row), datetime.now(UTC)):
                self._note(EXECUTION_NOT_MARKED)
        elif end.known or row.status != "pending":  # a pending one that is unknown is about to be started
            await self._close(row, end)

    async def _close(self, row: Execution, end: End) -> None:
        tenant = mint_tenant(row.tenant_id)
        meta = {"execution_id": str(row.id), "workflow_id": str(row.workflow_id)}
        async with self.database.joined():
            totals = await self._repairs.totals_of_open(_place(row))
            if totals is None:
                return
            finish = Finish(
                tenant, row.id, end.status, *totals, end.finished_at, output=end.output, error=end.error,
                attempt=row.attempt, handled_failures=row.handled_failures,
                messages=(finished_message(meta, end.status),), final=True,
            )  # fmt: skip
            await NodeExecutions(self.database).write([], finishes=[finish])
        self._note(EXECUTION_NOT_CLOSED if end.known else EXECUTION_INTERRUPTED)

    async def _temporal_workflows(self) -> None:
        """What runs in Temporal although its execution is over."""
        async for page in self.temporal.running(self._until):
            standing = await self._repairs.standing([(one.tenant, one.execution) for one in page])
            for one in page:
                if self._is_over(standing.get((one.tenant, one.execution))):
                    await self._terminate(one)

    async def _terminate(self, one: Running) -> None:
        if await self.temporal.terminate(one, "its execution is over"):
            self._note(TEMPORAL_NOT_STOPPED)

    def _is_over(self, standing: Standing | None) -> bool:
        return standing is not None and standing.finished_at is not None and standing.finished_at < self._until

    # ---- inside the record

    async def _nodes(self) -> None:
        until = self._until
        since = self._looked_until or until - FIRST_LOOK_BACK
        while since < until:
            closed = await self._repairs.closed_between(since, until, BATCH)
            self._note(NODE_NOT_CLOSED, await self._repairs.abandon_nodes(closed))
            if len(closed) < BATCH:
                break
            states = (await self._repairs.standing(closed)).values()
            ends = [one.finished_at for one in states if one.finished_at is not None]
            since = max([since + timedelta(microseconds=1), *ends])
        self._looked_until = until - self.grace - timedelta(minutes=1)

    async def _approvals(self) -> None:
        self._note(APPROVAL_NOT_CLOSED, await self._repairs.close_approvals(self._until, BATCH))

    async def _quotas(self) -> None:
        kept = self.keep_executions
        complete_since = datetime.min.replace(tzinfo=UTC) if kept is None else datetime.now(UTC) - kept
        for tenant in await self._repairs.limited_tenants():
            done = await self._repairs.quotas(tenant, complete_since)
            self._note(QUOTA_COUNTER_WRONG, done.counters)
            self._note(WAITING_ROW_STALE, done.stale)
            self._note(WAITING_ROW_LOST, done.lost)
            self._note(SLOT_NOT_HANDED_ON, done.handed)

    async def _leases(self) -> None:
        self._note(MESSAGE_LEASE_STALE, await self._repairs.end_leases(LONGEST_LEASE))
        self._note(AI_ROOM_STALE, await self._repairs.release_reservations(self._until))

    # ---- Redis

    async def _live_view(self) -> None:
        if self.live is None:
            return
        self._note(RESULT_LEASE_STALE, await self.live.end_leases())
        hashes = await self.live.some_hashes()
        for start in range(0, len(hashes), BATCH):
            part = hashes[start : start + BATCH]
            standing = await self._repairs.standing([(one.tenant, one.execution) for one in part])
            for one in part:
                await self._live_hash(self.live, one, standing.get((one.tenant, one.execution)))

    async def _live_hash(self, live: LiveUpkeep, one: LiveHash, standing: Standing | None) -> None:
        if standing is None:
            self._note(LIVE_VIEW_WRONG, await live.remove(one))
        elif standing.finished_at is None:
            if one.finished or one.status in TERMINAL_EXECUTION_STATUSES:
                self._note(LIVE_VIEW_WRONG, await live.rewrite(one, standing.status))
        elif self._is_over(standing):
            counts = await self._repairs.node_counts((one.tenant, one.execution))
            if (one.status, one.finished, dict(one.nodes)) != (standing.status, True, counts):
                self._note(LIVE_VIEW_WRONG, await live.rewrite(one, standing.status, counts))


def _place(row: Execution) -> tuple[Any, Any]:
    return row.tenant_id, row.id
