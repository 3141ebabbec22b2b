"""Bodies of the routes of events."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Field, StringConstraints, field_validator

from api.schemas import Reply, Request
from api.times import Time
from engine.activities.events.internal import RESERVED_ID, RESERVED_TYPE, is_reserved_type

MAX_BATCH = 100
EventId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._:@~+=-]{1,200}$")]
EventType = Annotated[str, StringConstraints(max_length=200, pattern=r"^[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*$")]


class EventRequest(Request):
    """Something that happened."""

    id: EventId | None = Field(
        default=None, description="The same event under the same id is one; made by the server if it is left out"
    )
    type: EventType = Field(description="Names with dots between them, such as order.created")
    source: str = Field(min_length=1, max_length=200, pattern=r"^[^\x00]+$", description="Who tells of it")
    time: Time | None = Field(default=None, description="When it happened; now, if it is left out")
    data: Any = Field(default=None, description="What it carries")

    @field_validator("type", mode="after")
    @classmethod
    def _own(cls, value: str) -> str:
        if is_reserved_type(value):
            raise ValueError(f"types that begin with {RESERVED_TYPE}. are StructForge's own")
        return value

    @field_validator("id", mode="after")
    @classmethod
    def _own_id(cls, value: str | None) -> str | None:
        if value is not None and value.startswith(RESERVED_ID):
            raise ValueError(f"ids that begin with {RESERVED_ID} are StructForge's own")
        if value == "stream":
            raise ValueError("an event of this id could not be asked for: /events/stream is another route")
        return value


class EventBatchRequest(Request):
    """Several events: all of them are published, or none."""

    events: list[EventRequest] = Field(min_length=1, max_length=MAX_BATCH)


class PublishReply(Reply):
    """An event that is stored; what it starts is known a moment later."""

    id: str
    repeated: bool = Field(description="Whether it had been published before under this id")


class PublishBatchReply(Reply):
    """The events of a batch, in its order."""

    events: list[PublishReply]


class EventStartReply(Reply):
    """What came of the event at one trigger."""

    workflow_id: UUID
    node: str = Field(description="The trigger's id")
    version: int
    execution_id: UUID | None
    error: dict[str, Any] | None = Field(description="Why no execution was started, such as a filter that failed")
    created_at: datetime


class EventReply(Reply):
    """An event and what it has started."""

    id: str
    type: str
    source: str
    time: datetime
    data: Any
    depth: int = Field(description="Events before it, each published because of the one before")
    published_by: str
    created_at: datetime
    state: Literal["waiting", "settled"] = Field(description="Settled when every trigger has been asked")
    settled_at: datetime | None
    note: str | None = Field(description="Why it has started nothing at all")
    starts: list[EventStartReply] = Field(description="Of workflows that the caller may see")


class ParkedMessageReply(Reply):
    """A message of the outbox that failed too often and is not delivered any more."""

    id: UUID
    kind: str
    payload: dict[str, Any]
    attempts: int
    failure: str | None
    created_at: datetime
    parked_at: datetime


class ParkedMessagesReply(Reply):
    """The latest of them, at most a hundred."""

    items: list[ParkedMessageReply]
