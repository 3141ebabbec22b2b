"""The route of statistics, for people without a dashboard."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query

from api.access import Caller
from api.permissions import Permission, requires
from api.resources import Held
from api.stats import service
from api.stats.schemas import StatsReply
from api.times import Day
from engine.errors import Issue, ValidationFailed

router = APIRouter(tags=["stats"])

USUAL = timedelta(days=1)
LONGEST = timedelta(days=92)
From = Annotated[Day | None, Query(alias="from", description="First day or time, UTC; a day ago")]
To = Annotated[Day | None, Query(description="Last day (whole), or the time to stop before, UTC; now")]


@router.get("/stats")
@requires(Permission.EXECUTION_READ)
async def get_stats(
    resources: Held, caller: Caller, start: From = None, to: To = None, workflow: UUID | None = None
) -> StatsReply:
    """Executions by status and trigger, their success and durations, and what runs now."""
    end = _moment(to, end_of_day=True) if to is not None else datetime.now(UTC) + timedelta(seconds=1)
    begin = _moment(start) if start is not None else end - USUAL
    if not begin < end <= begin + LONGEST:
        message = f"`from` must be before `to`, by {LONGEST.days} days at most"
        raise ValidationFailed([Issue("INVALID_VALUE", "query.from", message)], "the request is not valid")
    return await service.stats(resources, caller, begin, end, workflow)


def _moment(given: date | datetime, *, end_of_day: bool = False) -> datetime:
    """A day as its begin or end, a time without a zone as UTC."""
    if isinstance(given, datetime):
        return given if given.tzinfo is not None else given.replace(tzinfo=UTC)
    return datetime.combine(given, time(), UTC) + timedelta(days=1 if end_of_day else 0)
