"""Bodies of the route of statistics."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from pydantic import Field

from api.schemas import Reply
from api.usage.schemas import UsageSums


class Durations(Reply):
    """Milliseconds from start to end, of executions that have ended; null if none has."""

    p50_ms: float | None
    p95_ms: float | None


class WorkflowStats(Reply):
    """Executions of one workflow."""

    workflow_id: UUID
    workflow_name: str
    executions: int
    failed: int = Field(description="Failed or timed out")
    success_rate: float | None
    duration: Durations


class StatsReply(Reply):
    """Executions that were made from `start` up to `end`, as far as the caller may see them.

    `complete` is false where there were more than can be counted at once: then only those since `counted_from` are in.
    """

    start: datetime
    end: datetime
    complete: bool
    counted_from: datetime
    executions: int
    by_status: dict[str, int]
    by_trigger: dict[str, int]
    success_rate: float | None = Field(
        description="Of those that succeeded, failed or timed out; null if there are none"
    )
    duration: Durations
    running: dict[str, int] = Field(
        description="Executions that are not over now, by status; 10,000 are counted at most"
    )
    failing_workflows: list[WorkflowStats] = Field(description="Those with the most failures, at most 10")
    ai: UsageSums | None = Field(description="What AI calls used; only for those who may read the tenant's usage")
