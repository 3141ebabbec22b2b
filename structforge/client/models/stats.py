"""Bodies of stats. Written by docs/generate.py from the OpenAPI document: change the API, not this file."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from structforge.client.models.shared import UsageSums
from structforge.client.shapes import ReplyModel


class Durations(ReplyModel):
    """Milliseconds from start to end, of executions that have ended; null if none has."""

    p50_ms: float | None
    p95_ms: float | None


class WorkflowStats(ReplyModel):
    """Executions of one workflow."""

    workflow_id: UUID
    workflow_name: str
    executions: int
    failed: int
    success_rate: float | None
    duration: Durations


class StatsReply(ReplyModel):
    """Executions that were made from `start` up to `end`, as far as the caller may see them. `complete` is false
    where there were more than can be counted at once: then only those since `counted_from` are in.
    """

    start: datetime
    end: datetime
    complete: bool
    counted_from: datetime
    executions: int
    by_status: dict[str, int]
    by_trigger: dict[str, int]
    success_rate: float | None
    duration: Durations
    running: dict[str, int]
    failing_workflows: list[WorkflowStats]
    ai: UsageSums | None
