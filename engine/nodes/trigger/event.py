"""Trigger: something that happened and was published."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any

from pydantic import Field, StringConstraints
from uuid_utils import uuid7

from engine.errors import NodeError
from engine.expressions import Request, compile_expression
from engine.nodes.base import ItemExpression, NodeContext, NodeParams, NodeResult, ResultModel, node
from engine.nodes.ports import ExpressionPort
from engine.nodes.trigger_data import completed

EventType = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*(?:\.\*)?$")]


class EventParams(NodeParams):
    """Start an execution when an event of this type is published and the filter lets it pass."""

    event_type: EventType = Field(
        min_length=1,
        max_length=200,
        description="Names with dots between them, such as order.created; order.* takes all that begin so",
    )
    event_filter: Annotated[str | bool | None, ItemExpression()] = Field(
        default=None, description="Which of them start one: sees event {id, type, source, time, data}"
    )


class EventData(ResultModel):
    """The event."""

    id: str = Field(description="The event's id, by which a repeated one is known")
    type: str = Field(description="Its type")
    source: str = Field(description="Who published it")
    time: str = Field(description="When it happened, ISO 8601")
    data: Any = Field(default=None, description="What it carries")


def is_of_type(params: EventParams, event_type: str) -> bool:
    """Whether an event of that type is one of those that the trigger asks for."""
    if params.event_type.endswith(".*"):
        return event_type.startswith(params.event_type[:-1])
    return event_type == params.event_type


async def passes(params: EventParams, event: Mapping[str, Any], evaluator: ExpressionPort) -> bool:
    """Whether an event starts an execution.

    Raises: NodeError EXPRESSION_ERROR if the filter fails on it.
    """
    if not is_of_type(params, str(event["type"])):
        return False
    if params.event_filter is None:
        return True
    (result,) = await evaluator.evaluate([Request(compile_expression(params.event_filter), {"event": event})])
    if isinstance(result, NodeError):
        raise result
    return bool(result)


def _by_hand(params: EventParams, given: Any, now: datetime) -> dict[str, Any]:
    known = {
        "id": str(uuid7()),
        "type": params.event_type.removesuffix(".*"),
        "source": "manual",
        "time": now.isoformat(),
        "data": None,
    }
    return completed(EventData, known, given)


@node(
    "event",
    category="trigger",
    kind="trigger",
    ports=("out",),
    icon="bell",
    result=EventData,
    reads_upstream=True,
    expression_names=("event",),
    by_hand=_by_hand,
    examples=[
        {
            "title": "Large orders",
            "params": {"event_type": "order.created", "event_filter": "event.data.total >= 100"},
        },
        {"title": "Everything about orders", "params": {"event_type": "order.*"}},
    ],
)
async def event(params: EventParams, context: NodeContext) -> NodeResult:
    return NodeResult(context.upstream)
