"""Bodies of the routes of schedules."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import Field, field_validator, model_validator

from api.schemas import Reply, Request
from api.times import Time
from engine.dag.durations import Duration
from engine.nodes.calendars import check_cron, check_timezone

Overlap = Literal["skip", "buffer_one", "buffer_all", "cancel_other", "terminate_other", "allow_all"]
_SHORTEST, _LONGEST = timedelta(seconds=1), timedelta(days=3650)
_LONGEST_BACKFILL = timedelta(days=366)
Name = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00]+$")]


class ScheduleRule(Request):
    """When a workflow starts: exactly one of `cron`, `every` and `at`."""

    name: Name = Field(description="Unique among the schedules of the workflow")
    cron: str | None = Field(default=None, max_length=200, description="A cron line, as of the timer node")
    every: Duration | None = Field(default=None, description="An interval, such as 15m")
    at: Time | None = Field(default=None, description="One time, with its offset")
    timezone: str = Field(default="UTC", max_length=64, description="IANA name; of the cron line")
    jitter: Duration = Field(default=timedelta(0), description="Starts are spread over this time")
    overlap: Overlap = Field(default="skip", description="If a start is due while the one before still runs")
    catchup_window: Duration = Field(
        default=timedelta(hours=1), description="Missed starts are made up for within this time; at least 10s"
    )
    starts_at: Time | None = Field(default=None, description="No start before")
    ends_at: Time | None = Field(default=None, description="No start after")
    max_runs: int | None = Field(default=None, ge=1, le=1_000_000_000, description="Starts in all")
    enabled: bool = Field(default=True, description="Whether it fires")
    trigger: str | None = Field(default=None, max_length=200, description="The trigger node that fires")
    input: dict[str, Any] = Field(default_factory=dict[str, Any], description="Input of every execution")

    @field_validator("cron", mode="after")
    @classmethod
    def _cron(cls, value: str | None) -> str | None:
        return None if value is None else check_cron(value)

    @field_validator("timezone", mode="after")
    @classmethod
    def _timezone(cls, value: str) -> str:
        return check_timezone(value)

    @field_validator("every", "jitter", "catchup_window", mode="after")
    @classmethod
    def _bounded(cls, value: timedelta | None) -> timedelta | None:
        if value is not None and value > _LONGEST:
            raise ValueError("the longest is ten years")
        return value

    @model_validator(mode="after")
    def _whole(self) -> Self:
        named = [name for name in ("cron", "every", "at") if getattr(self, name) is not None]
        if len(named) != 1:
            raise ValueError(
                f"a schedule needs exactly one of cron, every and at, and has {', '.join(named) or 'none'}"
            )
        if self.every is not None and self.every < _SHORTEST:
            raise ValueError("the shortest interval is 1s")
        if self.catchup_window < timedelta(seconds=10):
            raise ValueError("catchup_window is at least 10s")
        if self.starts_at is not None and self.ends_at is not None and self.ends_at <= self.starts_at:
            raise ValueError("ends_at must be after starts_at")
        return self


class ScheduleRequest(ScheduleRule):
    """A schedule of a workflow; it fires while the workflow is active and has a published version."""

    workflow_id: UUID


class ScheduleReply(Reply):
    """A schedule. `source` is `timer` for a timer node of the published version: its rule follows the document."""

    id: UUID
    workflow_id: UUID
    name: str
    source: str
    trigger: str | None
    cron: str | None
    every_s: float | None
    at: datetime | None
    timezone: str
    jitter_s: float
    overlap: Overlap
    catchup_window_s: float
    starts_at: datetime | None
    ends_at: datetime | None
    max_runs: int | None
    enabled: bool
    paused: bool = Field(description="People's switch, beside `enabled`")
    input: Any
    revision: int
    created_at: datetime
    updated_at: datetime


class PreviewReply(Reply):
    """What Temporal says of a schedule. `synced` false: it is not there yet, or the workflow is not live."""

    synced: bool
    paused: bool
    next: list[datetime] = Field(description="The next times at which it fires, by Temporal's own reckoning")
    runs: int = Field(description="Starts so far")
    runs_left: int | None = Field(description="Starts that max_runs leaves; null without it")
    skipped: int = Field(description="Starts left out because the one before still ran")
    missed: int = Field(description="Starts that were due longer ago than the catch-up window")


class BackfillRequest(Request):
    """Make up for the starts that would have been due in a span of time."""

    start: Time
    end: Time
    overlap: Overlap = Field(default="allow_all", description="Of the starts of this backfill")

    @model_validator(mode="after")
    def _span(self) -> Self:
        if self.end <= self.start:
            raise ValueError("end must be after start")
        if self.end - self.start > _LONGEST_BACKFILL:
            raise ValueError("a backfill spans 366 days at most")
        return self
