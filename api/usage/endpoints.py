"""Routes of what AI calls used."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Query

from api.access import Caller
from api.permissions import Permission, requires
from api.resources import Held
from api.times import Day
from api.usage.schemas import ExecutionUsage, NodeUsageReply, UsageGroup, UsageReply, UsageSums
from engine.errors import Issue, ValidationFailed
from models.repositories.ai_usage import AiUsage, NodeUsage, Sums
from models.repositories.executions import Executions

router = APIRouter(tags=["usage"])

USUAL_DAYS = 30
GroupBy = Literal["total", "day", "workflow", "execution", "model", "provider", "node"]
From = Annotated[Day | None, Query(alias="from", description="First day or time, UTC; 30 days ago")]
To = Annotated[Day | None, Query(description="Last day (whole), or the time to stop before, UTC; now")]


@router.get("/executions/{execution_id}/usage")
@requires(Permission.EXECUTION_READ)
async def get_execution_usage(execution_id: UUID, resources: Held, caller: Caller) -> ExecutionUsage:
    """What the AI calls of an execution used so far."""
    await Executions(resources.database).get(caller.tenant, execution_id)
    nodes = await AiUsage(resources.database).of_execution(caller.tenant, execution_id)
    total = sum((node.sums for node in nodes), Sums())
    return ExecutionUsage(total=UsageSums.of(total), nodes=[_node(node) for node in nodes])


@router.get("/usage")
@requires(Permission.USAGE_READ)
async def get_usage(
    resources: Held,
    caller: Caller,
    workflow: UUID | None = None,
    start: From = None,
    to: To = None,
    group_by: GroupBy = "total",
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> UsageReply:
    """What AI calls used, by day, workflow, execution, model, provider or node."""
    end = _moment(to, end_of_day=True) if to is not None else datetime.now(UTC) + timedelta(seconds=1)
    begin = _moment(start) if start is not None else end - timedelta(days=USUAL_DAYS)
    if begin >= end:
        issue = Issue("INVALID_VALUE", "query.from", "`from` must be before `to`")
        raise ValidationFailed([issue], "the request is not valid")
    groups = await AiUsage(resources.database).grouped(
        caller.tenant, group_by, begin, end, workflow_id=workflow, limit=limit + 1
    )
    shown = [UsageGroup(key=key, **UsageSums.of(sums).model_dump()) for key, sums in groups[:limit]]
    return UsageReply(start=begin, end=end, group_by=group_by, groups=shown, truncated=len(groups) > limit)


def _moment(given: date | datetime, *, end_of_day: bool = False) -> datetime:
    """A day as its begin or end, a time without a zone as UTC."""
    if isinstance(given, datetime):
        return given if given.tzinfo is not None else given.replace(tzinfo=UTC)
    return datetime.combine(given, time(), UTC) + timedelta(days=1 if end_of_day else 0)


def _node(node: NodeUsage) -> NodeUsageReply:
    path, iteration, generation = node.key
    return NodeUsageReply(
        path=path,
        iteration=list(iteration),
        generation=generation,
        model=node.model,
        provider=node.provider,
        **UsageSums.of(node.sums).model_dump(),
    )
