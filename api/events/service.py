"""What the routes of events do."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

import orjson

from api.audit import audit
from api.auth import Identity
from api.events.schemas import EventReply, EventRequest, EventStartReply
from api.people import person_of
from api.rate_limits import rate_of
from api.resources import Resources
from api.workflow_access import role_on, sees_everything
from engine.errors import NotFound, TooLarge
from models.ids import new_id
from models.repositories.events import Events, NewEvent, Published
from models.tables import Event


async def publish(
    resources: Resources, caller: Identity, events: Sequence[EventRequest], key: str | None
) -> list[Published]:
    """Store events, all or none. Raises: Conflict (EVENT_ID_TAKEN); TooLarge; RateLimited; SystemFault."""
    for event in events:
        _check_size(event, resources.settings.limits.event_bytes)
    rate = rate_of(resources.settings.limits.events_per_tenant)
    for _ in events:
        await resources.rate_limits.take("publisher of events", str(caller.tenant), rate)
    depth = await _depth(resources, caller, key)
    new = [_new_event(event, _id(event, key, place), depth, caller) for place, event in enumerate(events)]
    stored = await Events(resources.database).publish(caller.tenant, new)
    if fresh := [one.event.id for one in stored if one.is_new]:
        facts = {"type": events[0].type, "count": len(fresh)}
        await audit(resources, caller, "event.publish", "event", fresh[0], **facts)
    return stored


def _check_size(event: EventRequest, limit: int) -> None:
    if (size := len(orjson.dumps(event.data))) > limit:
        raise TooLarge(f"the event's data has {size:,} bytes and may have {limit:,}: send a reference to it")


def _new_event(event: EventRequest, event_id: str, depth: int, caller: Identity) -> NewEvent:
    person = person_of(caller).id
    return NewEvent(event_id, event.type, event.source, event.data, event.time, depth, published_by=person)


def _id(event: EventRequest, key: str | None, place: int) -> str:
    """The event's own id, else one out of the request's key, so that repeating the request repeats the event."""
    if event.id is not None:
        return event.id
    return str(new_id()) if key is None else f"key:{key}:{place}"


async def _depth(resources: Resources, caller: Identity, key: str | None) -> int:
    """How many events led to this one. HTTP nodes send the key of their node execution, which begins with its
    execution: so a loop of workflows that publish over HTTP is seen for what it is.
    """
    try:
        execution_id = UUID((key or "").partition(":")[0])
    except ValueError:
        return 0
    return await Events(resources.database).depth_of(caller.tenant, execution_id)


async def get_event(resources: Resources, caller: Identity, event_id: str) -> EventReply:
    """An event with what it has started in workflows that the caller may see.

    Raises: NotFound, also for one of which the caller may see nothing.
    """
    rows = Events(resources.database)
    event = await rows.get(caller.tenant, event_id)
    starts = [
        EventStartReply(
            workflow_id=row.workflow_id,
            node=row.node_id,
            version=row.version,
            execution_id=row.execution_id,
            error=row.error,
            created_at=row.created_at,
        )
        for row in await rows.starts(caller.tenant, event_id)
        if await role_on(resources, caller, row.workflow_id) is not None
    ]
    if not starts and not await _may_see(resources, caller, event):
        raise NotFound(f"no event {event_id!r}")
    kept = event.model_dump(exclude={"tenant_id", "digest", "about_workflow_id"})
    return EventReply(**kept, state="waiting" if event.settled_at is None else "settled", starts=starts)


async def _may_see(resources: Resources, caller: Identity, event: Event) -> bool:
    if sees_everything(caller) or event.published_by == person_of(caller).id:
        return True
    about = event.about_workflow_id
    return about is not None and await role_on(resources, caller, about) is not None
