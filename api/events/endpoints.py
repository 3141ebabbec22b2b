"""Routes of events, and of messages that could not be delivered."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Header, Path

from api.access import Caller
from api.audit import audit
from api.events import service
from api.events.schemas import (
    EventBatchRequest,
    EventReply,
    EventRequest,
    ParkedMessageReply,
    ParkedMessagesReply,
    PublishBatchReply,
    PublishReply,
)
from api.permissions import Permission, requires
from api.resources import Held
from models.repositories.outbox import OutboxMessages

router = APIRouter(tags=["events"])
Key = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        pattern=r"^[A-Za-z0-9._:@~+=-]{1,255}$",
        description="Makes the ids of events that have none, so that the same request publishes them once",
    ),
]


@router.post("/events", status_code=202)
@requires(Permission.EVENT_PUBLISH)
async def publish_event(body: EventRequest, resources: Held, caller: Caller, key: Key = None) -> PublishReply:
    """Tell of something that happened; workflows whose event triggers wait for it start. 409 if the id is taken."""
    (stored,) = await service.publish(resources, caller, [body], key)
    return PublishReply(id=stored.event.id, repeated=not stored.is_new)


@router.post("/events/batch", status_code=202)
@requires(Permission.EVENT_PUBLISH)
async def publish_events(
    body: EventBatchRequest, resources: Held, caller: Caller, key: Key = None
) -> PublishBatchReply:
    """Tell of up to a hundred things; all of them are published, or none."""
    stored = await service.publish(resources, caller, body.events, key)
    return PublishBatchReply(events=[PublishReply(id=one.event.id, repeated=not one.is_new) for one in stored])


@router.get("/events/{event_id}")
@requires(Permission.EVENT_READ)
async def get_event(event_id: Annotated[str, Path(max_length=1000)], resources: Held, caller: Caller) -> EventReply:
    """An event: which executions it has started, and where a filter failed."""
    return await service.get_event(resources, caller, event_id)


@router.get("/outbox/parked")
@requires(Permission.OUTBOX_MANAGE)
async def list_parked_messages(resources: Held, caller: Caller) -> ParkedMessagesReply:
    """Messages about events, notifications and the like that failed too often and wait for somebody."""
    rows = await OutboxMessages(resources.database).parked(caller.tenant)
    return ParkedMessagesReply(
        items=[ParkedMessageReply(**row.model_dump(exclude={"tenant_id", "delivered_at", "next_try"})) for row in rows]
    )


@router.post("/outbox/parked/{message_id}/retry", status_code=202)
@requires(Permission.OUTBOX_MANAGE)
async def retry_parked_message(message_id: UUID, resources: Held, caller: Caller) -> None:
    """Have a parked message delivered again."""
    await OutboxMessages(resources.database).retry(caller.tenant, message_id)
    await audit(resources, caller, "outbox.retry", "message", message_id)
