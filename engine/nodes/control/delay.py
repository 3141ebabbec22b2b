"""Control: wait for a time, or until one, on a durable timer."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import Field

from engine.dag.durations import LONGEST, parse_duration
from engine.errors import INVALID_CONFIG, Issue, NodeError
from engine.nodes.base import NodeContext, NodeParams, ResultModel, node
from engine.nodes.known_values import known_value_issues


class DelayParams(NodeParams):
    """Wait on a durable timer, which no restart cuts short: for a duration (`fixed`) or until a time (`until`)."""

    delay_type: Literal["fixed", "until"] = Field(default="fixed", description="fixed: a duration; until: a time")
    delay: str | int | float = Field(
        description="fixed: 250ms, 30s, 5m, 1h, 2d or ISO 8601 (PT1H); "
        "until: ISO 8601 time (UTC if it names no offset) or seconds since 1970"
    )


class DelayResult(ResultModel):
    started_at: str = Field(description="When the wait began")
    ended_at: str = Field(description="When it ended")


def _check(raw: Mapping[str, Any], path: str) -> list[Issue]:
    """A wait that stands in the document is one that can be waited for."""
    kind = raw.get("delay_type", "fixed")
    if kind not in ("fixed", "until"):
        return []
    hint = "such as 30s, 5m or 1h" if kind == "fixed" else "such as 2026-01-31T08:00:00Z"
    return known_value_issues(raw, path, "delay", (str, int, float), _duration_s if kind == "fixed" else _moment, hint)


@node(
    "delay",
    category="control",
    kind="durable",
    icon="hourglass",
    result=DelayResult,
    check=_check,
    examples=[
        {"title": "Half a minute", "params": {"delay": "30s"}},
        {"title": "Until a computed time", "params": {"delay_type": "until", "delay": "{{ input.not_before }}"}},
    ],
)
async def open_delay(params: DelayParams, context: NodeContext) -> dict[str, Any]:
    """`{"duration_s": float}` or `{"until": ISO 8601 time in UTC}`; a time that is past means no wait."""
    try:
        if params.delay_type == "fixed":
            return {"duration_s": _duration_s(params.delay)}
        return {"until": _moment(params.delay).isoformat()}
    except ValueError as error:
        raise NodeError(f"delay: {error}", code=INVALID_CONFIG, details={"parameter": "delay"}) from None


def _duration_s(delay: str | int | float) -> float:
    if not isinstance(delay, str):
        raise ValueError("a duration needs a unit: write 30s, not 30")
    return parse_duration(delay).total_seconds()


def _moment(delay: str | int | float) -> datetime:
    try:
        if isinstance(delay, str):
            moment = datetime.fromisoformat(delay.strip())
            moment = moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
        else:
            moment = datetime.fromtimestamp(delay, UTC)
    except (ValueError, OverflowError, OSError):
        raise ValueError("until needs an ISO 8601 time such as 2026-01-31T08:00:00Z, or seconds since 1970") from None
    if moment > datetime.now(UTC) + LONGEST:
        raise ValueError("the time is more than ten years away")
    return moment
