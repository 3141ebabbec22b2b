"""Retention: forgets what has had its time, and sees to it that partitions stand ready for the months to come."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from engine.errors import SystemFault
from engine.settings import Settings
from models.repositories.audit import AuditLog
from models.repositories.events import Events
from models.repositories.notifications import Notifications
from models.repositories.outbox import OutboxMessages
from models.repositories.quotas import Quotas
from models.repositories.retention import DETAILS, Retention
from models.repositories.tenants import Tenants
from models.repositories.upkeep_counts import UpkeepCounts
from models.session import Database

BATCH = 1000
MOST_BATCHES = 100  # of one kind in one round: the rest goes in the next
A_MONTH = timedelta(days=31)
KEEP_COUNTERS = timedelta(days=1)
MONTHS_MADE = "months_made"
MONTHS_DROPPED = "months_dropped"
ROWS_MOVED = "rows_moved_out_of_default_partitions"
_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Retainer:
    """One round of retention after another; each is bounded, and may be broken off anywhere."""

    database: Database
    settings: Settings

    async def run_once(self) -> dict[str, int]:
        """What was made and forgotten, by kind. Raises: SystemFault if PostgreSQL is away."""
        done: Counter[str] = Counter()
        await self._extend(done)
        # Details before executions: what a round leaves out shows what there is, not an execution without nodes.
        kept = self.settings.retention
        logs, nodes = (_shorter(days, kept.executions_days) for days in (kept.logs_days, kept.node_executions_days))
        for part, days in zip((*DETAILS, "execution"), (logs, nodes, kept.executions_days), strict=True):
            if days:
                await self._forget_part(part, timedelta(days=days), done)
        await self._forget_others(done)
        await UpkeepCounts(self.database).add(done)
        return +done

    async def _extend(self, done: Counter[str]) -> None:
        extended = await Retention(self.database).extend(self.settings.retention.months_ahead)
        done[MONTHS_MADE] += extended.created
        done[ROWS_MOVED] += extended.moved
        if extended.left_over:
            _log.warning("%d rows are in default partitions: their ids say no time", extended.left_over)

    async def _forget_part(self, part: str, keep: timedelta, done: Counter[str]) -> None:
        retention, finished = Retention(self.database), datetime.now(UTC) - keep
        for table, leaf in await retention.months_before(finished):
            if table == part:
                done[MONTHS_DROPPED] += await self._drop(leaf, finished)
        began = finished if keep < A_MONTH else finished.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        for tenant in await Tenants(self.database).ids():
            if part == "execution":
                done[part] += await _in_batches(
                    lambda tenant=tenant: retention.forget_executions(tenant, began, finished, BATCH)
                )
            else:
                done[part] += await _in_batches(
                    lambda tenant=tenant: retention.forget_details(part, tenant, began, finished, BATCH)
                )

    async def _drop(self, leaf: str, finished: datetime) -> int:
        try:
            dropped = await Retention(self.database).drop_month(leaf, finished)
        except SystemFault as fault:  # a long query holds it: the next round
            _log.warning("%s is not dropped yet: %s", leaf, fault)
            return 0
        if dropped:
            _log.info("dropped %s", leaf)
        return int(dropped)

    async def _forget_others(self, done: Counter[str]) -> None:
        kept, database, retention = self.settings.retention, self.database, Retention(self.database)
        idempotency = timedelta(days=kept.idempotency_days)
        ages = {
            "idempotency_keys": idempotency,
            "bulk_requests": idempotency,
            "replies": idempotency,
            "nonces": timedelta(hours=1),
            "approvals": A_MONTH,
        }
        if kept.ai_calls_days:
            ages["ai_calls"] = timedelta(days=kept.ai_calls_days)
        for kind, age in ages.items():
            done[kind] += await _in_batches(lambda kind=kind, age=age: retention.forget_others(kind, age, BATCH))
        await Quotas(database).remove_expired(KEEP_COUNTERS)
        done["messages"] += await OutboxMessages(database).forget(timedelta(days=kept.messages_days))
        done["events"] += await Events(database).forget(timedelta(days=kept.events_days))
        notifications = self.settings.notifications.retention_days
        done["notifications"] += await Notifications(database).forget(timedelta(days=notifications))
        audit = self.settings.audit
        done["audit_entries"] += await AuditLog(database).forget(
            timedelta(days=audit.retention_days), timedelta(days=audit.refused_retention_days)
        )


def _shorter(days: int, longest: int) -> int:
    """Days of a detail, which is never kept longer than its execution; 0 keeps for good."""
    return min((one for one in (days, longest) if one), default=0)


async def _in_batches(forget: Callable[[], Awaitable[int]]) -> int:
    total = 0
    for _ in range(MOST_BATCHES):
        count = await forget()
        total += count
        if count == 0:
            break
    return total
