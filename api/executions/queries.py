"""How people narrow and order lists of executions: query parameters for routes that read, a filter for bodies."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID

from fastapi import Depends, Query
from pydantic import AfterValidator, Field

from api.cursors import Position, bad_cursor, read_position
from api.executions.schemas import Labels
from api.schemas import Request
from api.statuses import ExecutionStatus
from api.times import Time
from engine.errors import Issue, ValidationFailed
from models.jsonb import plain_text
from models.repositories.execution_lists import ExecutionFilter, Order, Place

STATUSES = ("pending", "running", "paused", "success", "failed", "cancelled", "timed_out")
Status = ExecutionStatus
MAX_LABELS = 20


def _utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("the time is too far away") from None


Moment = Annotated[Time, AfterValidator(_utc)]
Sort = Annotated[
    Order,
    Query(description="By creation, end or duration; with - the largest first. The last two leave out what runs"),
]


def narrowed(
    workflow_id: UUID | None = None,
    status: Annotated[str | None, Query(max_length=200, description="One or several, with commas")] = None,
    trigger: Annotated[str | None, Query(max_length=100, description="Such as manual, webhook, timer, rerun")] = None,
    tag: Annotated[str | None, Query(max_length=200, description="A tag of the workflow")] = None,
    label: Annotated[
        list[str] | None, Query(max_length=MAX_LABELS, description="name=value of the metadata; repeated for several")
    ] = None,
    started_by: Annotated[str | None, Query(max_length=300)] = None,
    parent: Annotated[UUID | None, Query(description="Executions that this one called")] = None,
    rerun_of: Annotated[UUID | None, Query(description="Reruns of this execution")] = None,
    created_from: Annotated[Moment | None, Query(description="With time zone; included")] = None,
    created_before: Annotated[Moment | None, Query(description="With time zone; not included")] = None,
) -> ExecutionFilter:
    """The query parameters as a filter. Raises: ValidationFailed."""
    return ExecutionFilter(
        workflow_id=workflow_id,
        statuses=_statuses(status),
        trigger=plain_text(trigger),
        tag=plain_text(tag),
        started_by=plain_text(started_by),
        parent_execution_id=parent,
        rerun_of=rerun_of,
        created_from=created_from,
        created_before=created_before,
        label_texts=_label_texts(label or []),
    )


Narrowed = Annotated[ExecutionFilter, Depends(narrowed)]


class FilterRequest(Request):
    """Which executions are meant; everything given must hold, and something must be given."""

    ids: list[UUID] | None = Field(default=None, min_length=1, max_length=500)
    workflow_id: UUID | None = None
    status: list[Status] | None = Field(default=None, min_length=1, max_length=len(STATUSES))
    trigger: str | None = Field(default=None, max_length=100)
    tag: str | None = Field(default=None, max_length=200, description="A tag of the workflow")
    metadata: Labels | None = None
    started_by: str | None = Field(default=None, max_length=300)
    parent: UUID | None = None
    rerun_of: UUID | None = None
    created_from: Moment | None = None
    created_before: Moment | None = None

    def as_filter(self) -> ExecutionFilter:
        return ExecutionFilter(
            ids=self.ids,
            workflow_id=self.workflow_id,
            statuses=self.status,
            trigger=plain_text(self.trigger),
            tag=plain_text(self.tag),
            started_by=plain_text(self.started_by),
            parent_execution_id=self.parent,
            rerun_of=self.rerun_of,
            created_from=self.created_from,
            created_before=self.created_before,
            labels=self.metadata,
        )


def read_place(cursor: str | None, order: Order) -> Place | None:
    """Where a page begins. Raises: ValidationFailed if the cursor is none of a list in this order."""
    position = read_position(cursor, order)
    if position is None:
        return None
    column = order.removeprefix("-")
    value = position.value
    if column == "finished" and isinstance(value, str):
        return Place(position.id, _moment(value))
    if column == "duration" and isinstance(value, int | float):
        return Place(position.id, float(value))
    if column == "created" and value is None:
        return Place(position.id)
    raise bad_cursor()


def position_of(place: Place | None, order: Order) -> Position | None:
    """The place as a cursor can hold it."""
    return None if place is None else Position(order, place.id, place.value)


def _moment(text: str) -> datetime:
    try:
        return _utc(datetime.fromisoformat(text))
    except ValueError:
        raise bad_cursor() from None


def _statuses(text: str | None) -> list[str] | None:
    if text is None:
        return None
    wanted = [part.strip() for part in text.split(",")]
    if unknown := [part for part in wanted if part not in STATUSES]:
        issue = Issue("INVALID_VALUE", "query.status", f"no such status: {unknown[0][:40]!r}", ", ".join(STATUSES))
        raise ValidationFailed([issue], "the request is not valid")
    return wanted


def _label_texts(labels: list[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for label in labels:
        name, mark, value = (plain_text(label) or "").partition("=")
        if not mark:
            issue = Issue("INVALID_VALUE", "query.label", f"{label[:40]!r} has no =", "write label=name=value")
            raise ValidationFailed([issue], "the request is not valid")
        found[name] = value
    return found
