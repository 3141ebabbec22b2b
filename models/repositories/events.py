"""Events: what was published, which triggers wait for it, and what it has started."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import orjson

from engine.errors import Conflict, NotFound
from models.repositories.outbox import OutboxMessages
from models.repositories.records import columns_of, row_of
from models.session import Connection, Database
from models.tables import Event, EventStart, EventTrigger
from models.tenancy import TenantId

PUBLISHED = "event.published"

_ALL = columns_of(Event)
_INSERT = f"""
    INSERT INTO event (tenant_id, id, type, source, time, data, digest, depth, about_workflow_id, published_by)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT DO NOTHING RETURNING {_ALL}
"""
_GET = f"SELECT {_ALL} FROM event WHERE tenant_id = $1 AND id = $2"
_STARTS = f"""
    SELECT {columns_of(EventStart)} FROM event_start WHERE tenant_id = $1 AND event_id = $2
     ORDER BY created_at, workflow_id, node_id
"""
# Those that have answered already are left out: a message that comes again starts where the first try ended. What our
# own events tell of a workflow is not told to that workflow, nor to one whose author may not see it.
_TRIGGERS = f"""
    SELECT {", ".join(f"t.{name}" for name in columns_of(EventTrigger).split(", "))} FROM event_trigger t
     WHERE t.tenant_id = $1 AND t.pattern = ANY (event_patterns($2))
       AND ($3::uuid IS NULL OR (t.workflow_id <> $3 AND author_sees($1, t.author, $3)))
       AND NOT EXISTS (SELECT FROM event_start s WHERE s.tenant_id = $1 AND s.event_id = $4
                          AND s.workflow_id = t.workflow_id AND s.node_id = t.node_id)
     ORDER BY t.workflow_id, t.node_id
"""
_WRITE_START = """
    INSERT INTO event_start (tenant_id, event_id, workflow_id, node_id, version, execution_id, error)
    VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING
"""
_SETTLE = """
    UPDATE event SET settled_at = now(), note = $3 WHERE tenant_id = $1 AND id = $2 AND settled_at IS NULL
"""
_FORGET = """
    DELETE FROM event WHERE (tenant_id, id) IN
        (SELECT tenant_id, id FROM event WHERE created_at < now() - $1::interval ORDER BY created_at LIMIT $2)
"""


@dataclass(frozen=True, slots=True)
class NewEvent:
    """An event as it is published. `depth` counts the events before it; `about` is the workflow that it tells of."""

    id: str
    type: str
    source: str
    data: Any = None
    time: datetime | None = None  # when it is stored, if it does not say
    depth: int = 0
    about: UUID | None = None
    published_by: str = ""

    @property
    def digest(self) -> bytes:
        """SHA-256 of what the publisher says."""
        told = [self.type, self.source, self.data, None if self.time is None else self.time.astimezone(UTC).isoformat()]
        return hashlib.sha256(orjson.dumps(told, option=orjson.OPT_SORT_KEYS)).digest()


@dataclass(frozen=True, slots=True)
class Published:
    """An event, and whether this call stored it or an earlier one with the same id."""

    event: Event
    is_new: bool


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of an event at one trigger: an execution or an error."""

    trigger: EventTrigger
    execution_id: UUID | None = None
    error: dict[str, Any] | None = field(default=None)


class Events:
    """The tables `event`, `event_trigger` and `event_start`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def publish(self, tenant: TenantId, events: Sequence[NewEvent]) -> list[Published]:
        """Store events, and a message about each that is new, in one transaction: all of them or none.

        The same event under the same id is stored once. Raises: Conflict (EVENT_ID_TAKEN) for another one.
        """
        async with self._database.transaction(tenant) as transaction:
            stored = [await _stored(transaction, tenant, event) for event in events]
            for one in stored:
                if one.is_new:
                    await OutboxMessages.add(transaction, tenant, PUBLISHED, {"event_id": one.event.id})
        return stored

    async def record(self, tenant: TenantId, event: NewEvent) -> Event:
        """Store an event of our own, once; what was stored first stays."""
        async with self._database.transaction(tenant) as transaction:
            record = await transaction.fetchrow(_INSERT, *_arguments(tenant, event))
            record = record or await transaction.fetchrow(_GET, tenant.uuid, event.id)
        assert record is not None
        return row_of(Event, record)

    async def get(self, tenant: TenantId, event_id: str) -> Event:
        """Raises: NotFound."""
        async with self._database.transaction(tenant) as transaction:
            record = await transaction.fetchrow(_GET, tenant.uuid, event_id)
        if record is None:
            raise NotFound(f"no event {event_id!r}")
        return row_of(Event, record)

    async def starts(self, tenant: TenantId, event_id: str) -> list[EventStart]:
        """What an event has started, and where it failed to; in that order of time."""
        async with self._database.transaction(tenant) as transaction:
            records = await transaction.fetch(_STARTS, tenant.uuid, event_id)
        return [row_of(EventStart, record) for record in records]

    async def triggers(
        self, tenant: TenantId, event_type: str, event_id: str, *, about: UUID | None = None
    ) -> list[EventTrigger]:
        """Triggers that wait for events of this type, may hear of `about`, and have not answered to this one yet."""
        async with self._database.transaction(tenant) as transaction:
            records = await transaction.fetch(_TRIGGERS, tenant.uuid, event_type, about, event_id)
        return [row_of(EventTrigger, record) for record in records]

    async def write_answer(self, tenant: TenantId, event_id: str, answer: Answer) -> None:
        """Note what came of an event at a trigger; the first answer stays."""
        row = answer.trigger
        arguments = (row.workflow_id, row.node_id, row.version, answer.execution_id, answer.error)
        async with self._database.transaction(tenant) as transaction:
            await transaction.execute(_WRITE_START, tenant.uuid, event_id, *arguments)

    async def settle(self, tenant: TenantId, event_id: str, note: str | None = None) -> None:
        """Say that all triggers have been asked, or in `note` why none was."""
        async with self._database.transaction(tenant) as transaction:
            await transaction.execute(_SETTLE, tenant.uuid, event_id, note)

    async def depth_of(self, tenant: TenantId, execution_id: UUID) -> int:
        """How many events, one after another, led to an execution; 0 if none did, or there is no such execution."""
        async with self._database.transaction(tenant) as transaction:
            return await transaction.fetchval("SELECT event_depth_of($1, $2)", tenant.uuid, execution_id)

    async def forget(self, older_than: timedelta, *, limit: int = 10_000) -> int:
        """Remove events stored that long ago, with what they note of their executions; how many there were."""
        async with self._database.transaction(purpose="reconciler") as transaction:
            return int((await transaction.execute(_FORGET, older_than, limit)).rpartition(" ")[2])


async def _stored(transaction: Connection, tenant: TenantId, event: NewEvent) -> Published:
    record = await transaction.fetchrow(_INSERT, *_arguments(tenant, event))
    if record is not None:
        return Published(row_of(Event, record), is_new=True)
    known: asyncpg.Record | None = await transaction.fetchrow(_GET, tenant.uuid, event.id)
    if known is None or known["digest"] != event.digest:
        message = f"the event id {event.id!r} was used for another event: choose a new id"
        raise Conflict(message, code="EVENT_ID_TAKEN", details={"id": event.id})
    return Published(row_of(Event, known), is_new=False)


def _arguments(tenant: TenantId, event: NewEvent) -> tuple[Any, ...]:
    time = event.time or datetime.now(UTC)
    return (
        tenant.uuid, event.id, event.type, event.source, time, event.data, event.digest, event.depth, event.about,
        event.published_by,
    )  # fmt: skip
