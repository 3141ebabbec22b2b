"""Bodies of events. Written by docs/generate.py from the OpenAPI document: change the API, not this file."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from structforge.client.shapes import ReplyModel, RequestModel


class EventStartReply(ReplyModel):
    """What came of the event at one trigger."""

    workflow_id: UUID
    node: str
    version: int
    execution_id: UUID | None
    error: dict[str, Any] | None
    created_at: datetime


class EventReply(ReplyModel):
    """An event and what it has started."""

    id: str
    type: str
    source: str
    time: datetime
    data: Any
    depth: int
    published_by: str
    created_at: datetime
    state: str
    settled_at: datetime | None
    note: str | None
    starts: list[EventStartReply]


class EventRequest(RequestModel):
    """Something that happened."""

    id: str | None = None
    type: str
    source: str
    time: datetime | None = None
    data: Any = None


class ParkedMessageReply(ReplyModel):
    """A message of the outbox that failed too often and is not delivered any more."""

    id: UUID
    kind: str
    payload: dict[str, Any]
    attempts: int
    failure: str | None
    created_at: datetime
    parked_at: datetime


class ParkedMessagesReply(ReplyModel):
    """The latest of them, at most a hundred."""

    items: list[ParkedMessageReply]


class PublishReply(ReplyModel):
    """An event that is stored; what it starts is known a moment later."""

    id: str
    repeated: bool


class PublishBatchReply(ReplyModel):
    """The events of a batch, in its order."""

    events: list[PublishReply]
