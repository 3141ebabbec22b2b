"""Routes of events. Written by docs/generate.py from the OpenAPI document: change the API, not this file."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from structforge.client.calls import Call, Id, call, key, part
from structforge.client.models.events import (
    EventReply,
    EventRequest,
    ParkedMessagesReply,
    PublishBatchReply,
    PublishReply,
)
from structforge.client.unset import UNSET, Unset


class EventsRoutes:
    """Routes of events."""

    @call
    def publish_event(
        self,
        type: str,
        source: str,
        *,
        id: str | Unset | None = UNSET,
        time: datetime | Unset | None = UNSET,
        data: Any = UNSET,
        idempotency_key: str | None = None,
    ) -> Call[PublishReply]:
        """Tell of something that happened; workflows whose event triggers wait for it start. 409 if the id is taken."""
        return Call(
            "POST",
            "/api/v1/events",
            PublishReply,
            headers={"Idempotency-Key": key(idempotency_key)},
            body={"id": id, "type": type, "source": source, "time": time, "data": data},
        )

    @call
    def publish_events(
        self,
        events: list[EventRequest],
        *,
        idempotency_key: str | None = None,
    ) -> Call[PublishBatchReply]:
        """Tell of up to a hundred things; all of them are published, or none."""
        return Call(
            "POST",
            "/api/v1/events/batch",
            PublishBatchReply,
            headers={"Idempotency-Key": key(idempotency_key)},
            body={"events": events},
        )

    @call
    def get_event(self, event_id: str) -> Call[EventReply]:
        """An event: which executions it has started, and where a filter failed."""
        return Call("GET", f"/api/v1/events/{part(event_id)}", EventReply)

    @call
    def list_parked_messages(self) -> Call[ParkedMessagesReply]:
        """Messages about events, notifications and the like that failed too often and wait for somebody."""
        return Call("GET", "/api/v1/outbox/parked", ParkedMessagesReply)

    @call
    def retry_parked_message(self, message_id: Id) -> Call[bytes]:
        """Have a parked message delivered again."""
        return Call("POST", f"/api/v1/outbox/parked/{part(message_id)}/retry", bytes)
