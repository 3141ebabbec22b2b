"""Statistics of a tenant's executions over a time, out of the record."""

from __future__ import annotations

import asyncio
from datetime import datetime
from uuid import UUID

from api.auth import Identity
from api.permissions import Permission, grants
from api.resources import Resources
from api.stats.schemas import Durations, StatsReply, WorkflowStats
from api.usage.schemas import UsageSums
from api.workflow_access import sees_everything, sight_of
from models.ids import time_of_id
from models.repositories.ai_usage import AiUsage, Sums
from models.repositories.totals import Group, Measures, Totals

MOST_COUNTED = 100_000
MOST_RUNNING = 10_000
SHOWN_WORKFLOWS = 10


async def stats(
    resources: Resources, caller: Identity, start: datetime, end: datetime, workflow_id: UUID | None
) -> StatsReply:
    """Raises: SystemFault."""
    totals, sight = Totals(resources.database), sight_of(caller)
    counted, running, ai = await asyncio.gather(
        totals.counted(caller.tenant, start, end, workflow_id=workflow_id, sight=sight, most=MOST_COUNTED),
        totals.running(caller.tenant, workflow_id=workflow_id, sight=sight, most=MOST_RUNNING),
        _ai(resources, caller, start, end, workflow_id),
    )
    complete = counted.total.count < MOST_COUNTED or counted.oldest is None
    return StatsReply(
        start=start,
        end=end,
        complete=complete,
        counted_from=start if complete or counted.oldest is None else time_of_id(counted.oldest),
        executions=counted.total.count,
        by_status=counted.by_status,
        by_trigger=counted.by_trigger,
        success_rate=_success_rate(counted.total),
        duration=_durations(counted.total),
        running=running,
        failing_workflows=[_shown(group) for group in _failing(counted.workflows)],
        ai=ai,
    )


async def _ai(
    resources: Resources, caller: Identity, start: datetime, end: datetime, workflow_id: UUID | None
) -> UsageSums | None:
    if not sees_everything(caller) or not grants(caller.scopes, Permission.USAGE_READ):
        return None
    groups = await AiUsage(resources.database).grouped(
        caller.tenant, "total", start, end, workflow_id=workflow_id, limit=1
    )
    return UsageSums.of(groups[0][1] if groups else Sums())


def _failing(groups: list[Group]) -> list[Group]:
    failing = [group for group in groups if group.measures.failed]
    return sorted(failing, key=lambda group: (-group.measures.failed, group.workflow_name))[:SHOWN_WORKFLOWS]


def _shown(group: Group) -> WorkflowStats:
    measures = group.measures
    return WorkflowStats(
        workflow_id=group.workflow_id,
        workflow_name=group.workflow_name,
        executions=measures.count,
        failed=measures.failed,
        success_rate=_success_rate(measures),
        duration=_durations(measures),
    )


def _success_rate(measures: Measures) -> float | None:
    ended = measures.succeeded + measures.failed
    return round(measures.succeeded / ended, 6) if ended else None


def _durations(measures: Measures) -> Durations:
    return Durations(p50_ms=measures.p50_ms, p95_ms=measures.p95_ms)
