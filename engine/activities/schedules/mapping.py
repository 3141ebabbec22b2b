"""From the row of a schedule to a Temporal Schedule, and the mark by which a difference between them is found.

Temporal owns time: cron lines, intervals and time zones pass as they are. The mark stands in the schedule's note,
which a list of schedules gives and an update may change, unlike the memo.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, timedelta
from hashlib import sha256
from typing import Any

import orjson
from temporalio.client import (
    Schedule as TemporalSchedule,
)
from temporalio.client import (
    ScheduleActionStartWorkflow,
    ScheduleCalendarSpec,
    ScheduleIntervalSpec,
    ScheduleOverlapPolicy,
    SchedulePolicy,
    ScheduleRange,
    ScheduleSpec,
    ScheduleState,
)
from temporalio.common import Priority

from engine.contracts import LAUNCHER_WORKFLOW, LaunchRequest
from models.repositories.schedules import Desired
from models.tables import Schedule

PREFIX = "structforge:"
_MARK = "kept equal to its row by StructForge"
_OVERLAPS = {
    "skip": ScheduleOverlapPolicy.SKIP,
    "buffer_one": ScheduleOverlapPolicy.BUFFER_ONE,
    "buffer_all": ScheduleOverlapPolicy.BUFFER_ALL,
    "cancel_other": ScheduleOverlapPolicy.CANCEL_OTHER,
    "terminate_other": ScheduleOverlapPolicy.TERMINATE_OTHER,
    "allow_all": ScheduleOverlapPolicy.ALLOW_ALL,
}
OVERLAPS = tuple(_OVERLAPS)


@dataclass(frozen=True, slots=True)
class Mark:
    """What a note says: the digest of the row it was made from, its `max_runs`, and the leader's epoch."""

    digest: str
    max_runs: int
    epoch: int

    def __str__(self) -> str:
        return f"{_MARK} ({self.digest} {self.max_runs} {self.epoch})"


def read_mark(note: str | None) -> Mark | None:
    """The mark in a note; None if somebody else wrote it."""
    if note is None or not note.startswith(_MARK):
        return None
    parts = note[len(_MARK) :].strip(" ()").split()
    if len(parts) != 3 or not parts[1].isdigit() or not parts[2].isdigit():
        return None
    return Mark(parts[0], int(parts[1]), int(parts[2]))


def schedule_id(schedule: Schedule) -> str:
    """Id of the Temporal Schedule of a row."""
    return f"{PREFIX}{schedule.tenant_id}:{schedule.id}"


def digest_of(desired: Desired, task_queue: str) -> str:
    """A digest of all that the Temporal Schedule is made from."""
    row = desired.schedule
    parts: dict[str, Any] = row.model_dump(exclude={"revision", "created_at", "updated_at", "started_by"})
    told = orjson.dumps([parts, desired.workflow_name, task_queue, 1], default=str, option=orjson.OPT_SORT_KEYS)
    return sha256(told).hexdigest()[:24]


def temporal_schedule(desired: Desired, task_queue: str, mark: Mark, *, remaining: int | None) -> TemporalSchedule:
    """The Temporal Schedule of a row; `remaining` starts are left to it, None is any number."""
    row = desired.schedule
    request = LaunchRequest(
        tenant=str(row.tenant_id),
        workflow_id=str(row.workflow_id),
        schedule_id=str(row.id),
        schedule_name=row.name,
        trigger_node=row.trigger_node,
        input=row.input,
        started_by=row.started_by,
    )
    return TemporalSchedule(
        action=ScheduleActionStartWorkflow(
            LAUNCHER_WORKFLOW,
            request,
            id=f"{row.tenant_id}:schedule:{row.id}",
            task_queue=task_queue,
            static_summary=f"{desired.workflow_name}: {row.name}"[:200],
            priority=Priority(fairness_key=str(row.tenant_id)),
        ),
        spec=_spec(row),
        policy=SchedulePolicy(overlap=_OVERLAPS[row.overlap], catchup_window=timedelta(seconds=row.catchup_window_s)),
        state=ScheduleState(
            note=str(mark),
            paused=row.paused or not row.enabled,
            limited_actions=remaining is not None,
            remaining_actions=remaining or 0,
        ),
    )


def _spec(row: Schedule) -> ScheduleSpec:
    spec = ScheduleSpec(
        start_at=row.starts_at,
        end_at=row.ends_at,
        jitter=timedelta(seconds=row.jitter_s) if row.jitter_s else None,
        time_zone_name=row.timezone if row.at is None else "UTC",
    )
    if row.cron is not None:
        spec.cron_expressions = [row.cron]
    elif row.every_s is not None:
        spec.intervals = [ScheduleIntervalSpec(every=timedelta(seconds=row.every_s))]
    elif row.at is not None:
        spec.calendars = [_once(row)]
    return spec


def _once(row: Schedule) -> ScheduleCalendarSpec:
    assert row.at is not None
    at = row.at.astimezone(UTC)
    return ScheduleCalendarSpec(
        second=[ScheduleRange(at.second)],
        minute=[ScheduleRange(at.minute)],
        hour=[ScheduleRange(at.hour)],
        day_of_month=[ScheduleRange(at.day)],
        month=[ScheduleRange(at.month)],
        year=[ScheduleRange(at.year)],
    )


def runs_left(row: Schedule, mark: Mark | None, left: int, done: int) -> int | None:
    """Starts that a schedule still has: what Temporal counts down, unless `max_runs` itself has changed."""
    if row.max_runs is None:
        return None
    if mark is not None and mark.max_runs == row.max_runs:
        return left
    return max(0, row.max_runs - done)
