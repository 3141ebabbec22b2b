"""Trigger: a time, once or again and again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Self
from zoneinfo import ZoneInfo

from pydantic import ConfigDict, Field, field_validator, model_validator

from engine.dag.durations import Duration
from engine.nodes.base import NodeContext, NodeParams, NodeResult, ResultModel, node
from engine.nodes.calendars import check_cron, check_timezone
from engine.nodes.param_issues import structure_error
from engine.nodes.trigger_data import merged

_SHORTEST = timedelta(seconds=1)
_WAYS = ("cron", "every", "at")


class TimerParams(NodeParams):
    """Start an execution at set times: by a cron line, at an interval, or once. Exactly one of the three."""

    cron: str | None = Field(
        default=None,
        min_length=1,
        max_length=200,
        description="minute hour day-of-month month day-of-week, then perhaps a year, and before them perhaps a second "
        "(with the year); or @hourly, @daily, @weekly, @monthly, @yearly. Both day fields must fit",
    )
    every: Duration | None = Field(default=None, description="An interval, such as 15m")
    at: str | None = Field(default=None, description="One time, ISO 8601; in `timezone` if it names no offset")
    timezone: str = Field(default="UTC", min_length=1, max_length=64, description="IANA name, such as Europe/Paris")
    enabled: bool = Field(default=True, description="Whether it fires")
    input: dict[str, Any] = Field(default_factory=dict[str, Any], description="Data that every start gets besides")

    @field_validator("cron", mode="after")
    @classmethod
    def _cron(cls, value: str | None) -> str | None:
        return None if value is None else check_cron(value)

    @field_validator("timezone", mode="after")
    @classmethod
    def _timezone(cls, value: str) -> str:
        return check_timezone(value)

    @field_validator("every", mode="after")
    @classmethod
    def _every(cls, value: timedelta | None) -> timedelta | None:
        if value is not None and value < _SHORTEST:
            raise ValueError("the shortest interval is 1s")
        return value

    @field_validator("at", mode="after")
    @classmethod
    def _at(cls, value: str | None) -> str | None:
        if value is None:
            return None
        try:
            datetime.fromisoformat(value.strip())
        except ValueError:
            raise ValueError("this is no ISO 8601 time such as 2026-01-31T08:00:00+01:00") from None
        return value.strip()

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        named = [name for name in _WAYS if getattr(self, name) is not None]
        if len(named) != 1:
            found = " and ".join(named) or "none of them"
            raise structure_error(f"a timer needs exactly one of cron, every and at, and has {found}")
        return self

    @property
    def moment(self) -> datetime | None:
        """The time of `at`, with its offset."""
        if self.at is None:
            return None
        moment = datetime.fromisoformat(self.at)
        return moment if moment.tzinfo is not None else moment.replace(tzinfo=ZoneInfo(self.timezone))


class TimerData(ResultModel):
    """When it fired, with the parameter `input` beside it."""

    model_config = ConfigDict(extra="allow")

    scheduled_at: str = Field(description="The time that was meant, ISO 8601")
    fired_at: str = Field(description="The time at which it started, ISO 8601")


def timer_data(params: TimerParams, scheduled_at: datetime, fired_at: datetime) -> dict[str, Any]:
    """The output of a timer that fires; its two times win over members of `input` of the same name."""
    times = {"scheduled_at": scheduled_at.astimezone(UTC).isoformat(), "fired_at": fired_at.astimezone(UTC).isoformat()}
    return {**params.input, **times}


def _by_hand(params: TimerParams, given: Any, now: datetime) -> dict[str, Any]:
    return merged(timer_data(params, now, now), given)


@node(
    "timer",
    category="trigger",
    kind="trigger",
    ports=("out",),
    icon="clock",
    result=TimerData,
    reads_upstream=True,
    by_hand=_by_hand,
    examples=[
        {
            "title": "Working days at eight",
            "params": {"cron": "0 8 * * mon-fri", "timezone": "Europe/Paris", "input": {"report": "daily"}},
        },
        {"title": "Every quarter of an hour", "params": {"every": "15m"}},
        {"title": "Once", "params": {"at": "2030-01-31T08:00:00+01:00"}},
    ],
)
async def timer(params: TimerParams, context: NodeContext) -> NodeResult:
    return NodeResult(context.upstream)
