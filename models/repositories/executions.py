"""Executions: their creation, and their states up to the end."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg

from engine.errors import Conflict, NotFound
from engine.telemetry import metrics
from engine.telemetry.tracing import note_start
from models.ids import new_id
from models.repositories.records import columns_of, row_of
from models.rows import Message
from models.session import Connection, Database
from models.tables import Execution
from models.tenancy import TenantId

_RENAMED = {"metadata": "labels"}
_ALL = columns_of(Execution)
_LISTED = columns_of(Execution, without=("input", "output"))
QUEUED = "queued"  # the reason of a pending execution that waits for a slot


@dataclass(frozen=True, slots=True)
class IdempotentRequest:
    """A request that may be repeated: `key` within `kind`, and the SHA-256 of what it asks for."""

    kind: str
    key: str
    digest: bytes


@dataclass(frozen=True, slots=True)
class NewExecution:
    """What an execution is created from; `input` is a Value with defaults applied."""

    workflow_id: UUID
    version_id: UUID
    workflow_name: str
    input: dict[str, Any] | None = None
    id: UUID = field(default_factory=new_id)
    trigger: str = "manual"
    trigger_node: str | None = None
    parent_execution_id: UUID | None = None
    rerun_of: UUID | None = None
    rerun_from: str | None = None  # path of the node that a rerun begins at
    node_total: int = 0
    priority: int = 3
    labels: Mapping[str, Any] = field(default_factory=dict[str, Any])
    started_by: str = ""


@dataclass(frozen=True, slots=True)
class Created:
    """The execution, and whether this call made it or an earlier one with the same key or id."""

    execution: Execution
    is_new: bool


_CREATE = f"SELECT {_ALL} FROM create_execution({', '.join(f'${n}' for n in range(1, 20))})"
_KEY = "SELECT execution_id, request_digest FROM idempotency_key WHERE tenant_id = $1 AND kind = $2 AND key = $3"
_GET = f"SELECT {_ALL} FROM execution WHERE tenant_id = $1 AND id = $2"
_CANCEL_QUEUED = "SELECT cancel_queued($1, $2, $3)"
_RUNNING = """
    UPDATE execution SET status = 'running', started_at = coalesce(started_at, $3, now()),
           node_total = coalesce($4, node_total), attempt = greatest(attempt, coalesce($5, attempt))
     WHERE tenant_id = $1 AND id = $2 AND finished_at IS NULL AND reason IS NULL
       AND status IN ('pending', 'running') RETURNING 1
"""
_PAUSE = """
    UPDATE execution SET status = $3 WHERE tenant_id = $1 AND id = $2 AND finished_at IS NULL AND status <> 'pending'
    RETURNING 1
"""
_PENDING = f"""
    SELECT {_ALL} FROM execution WHERE status = 'pending' AND finished_at IS NULL AND reason IS NULL
       AND (created_at < now() - $1::interval OR released_at IS NOT NULL)
     ORDER BY released_at, created_at LIMIT $2
"""
_OPEN = f"""
    SELECT {_LISTED} FROM execution
     WHERE status IN ('running', 'paused', 'pending') AND finished_at IS NULL AND created_at < now() - $1::interval
       AND ($2::uuid IS NULL OR id > $2) ORDER BY id LIMIT $3
"""


class Executions:
    """The table `execution`, with its idempotency keys and quota counters."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create_execution(
        self,
        tenant: TenantId,
        new: NewExecution,
        *,
        request: IdempotentRequest | None = None,
    ) -> Created:
        """Insert a pending execution in one transaction and one round trip, with its idempotency key and its quotas.

        With `reason` `queued` it waits for a slot, and whoever gives it one has it started. The same key and request,
        or the same id, gives the execution that is there.
        Raises: Conflict if the key was used for another request, or (QUOTA_EXCEEDED) if a quota is used up.
        """
        began = time.time()
        async with self._database.connection() as connection:
            record = await connection.fetchrow(_CREATE, *_arguments(tenant, new, request))
        if record is not None:
            metrics.EXECUTIONS_CREATED.labels(metrics.known(new.trigger, metrics.TRIGGERS)).inc()
            original = new.parent_execution_id or new.rerun_of
            note_start(new.id, new.trigger, new.workflow_name, began, time.time(), original)
            return Created(execution_of(record), is_new=True)
        async with self._database.transaction(tenant) as transaction:
            return Created(await _existing(transaction, tenant, new.id, request), is_new=False)

    async def cancel_queued(self, tenant: TenantId, execution_id: UUID, messages: Sequence[Message] = ()) -> bool:
        """End an execution that waits for a slot; False if it waits no more, or never did."""
        told = [{"kind": message.kind, "payload": message.payload} for message in messages]
        async with self._database.connection() as connection:
            return bool(await connection.fetchval(_CANCEL_QUEUED, tenant.uuid, execution_id, told))

    async def get(self, tenant: TenantId, execution_id: UUID) -> Execution:
        """Raises: NotFound."""
        async with self._database.transaction(tenant) as transaction:
            record = await transaction.fetchrow(_GET, tenant.uuid, execution_id)
        if record is None:
            raise NotFound(f"no execution {execution_id}")
        return execution_of(record)

    async def mark_running(
        self,
        tenant: TenantId,
        execution_id: UUID,
        *,
        started_at: datetime | None = None,
        node_total: int | None = None,
        attempt: int | None = None,
    ) -> bool:
        """Say that a pending execution runs; False if it is paused, over or unknown. Repeating it changes nothing."""
        async with self._database.transaction(tenant) as transaction:
            arguments = (tenant.uuid, execution_id, started_at, node_total, attempt)
            return await transaction.fetchval(_RUNNING, *arguments) is not None

    async def mark_paused(self, tenant: TenantId, execution_id: UUID, *, paused: bool) -> bool:
        """Switch between running and paused; False if the execution is pending, over or unknown."""
        async with self._database.transaction(tenant) as transaction:
            status = "paused" if paused else "running"
            return await transaction.fetchval(_PAUSE, tenant.uuid, execution_id, status) is not None

    async def pending_starts(self, older_than: timedelta, *, limit: int = 100) -> list[Execution]:
        """Executions of every tenant that were created and not started since, oldest first; for the relay alone."""
        async with self._database.transaction(purpose="relay") as transaction:
            records = await transaction.fetch(_PENDING, older_than, limit)
        return [execution_of(record) for record in records]

    async def open_executions(
        self, older_than: timedelta, *, after: UUID | None = None, limit: int = 500
    ) -> list[Execution]:
        """Executions of every tenant that are not over, by id, without input and output; for the reconciler alone."""
        async with self._database.transaction(purpose="reconciler") as transaction:
            records = await transaction.fetch(_OPEN, older_than, after, limit)
        return [execution_of(record) for record in records]


def execution_of(record: asyncpg.Record) -> Execution:
    """The row that a record of this table is."""
    return row_of(Execution, record, renamed=_RENAMED)


def _arguments(tenant: TenantId, new: NewExecution, request: IdempotentRequest | None) -> tuple[Any, ...]:
    once = (None, None, None) if request is None else (request.kind, request.key, request.digest)
    return (
        tenant.uuid, new.id, new.workflow_id, new.version_id, new.workflow_name, new.trigger, new.trigger_node,
        new.input, new.parent_execution_id, new.rerun_of, new.node_total, new.priority, dict(new.labels), None,
        new.rerun_from, new.started_by, *once,
    )  # fmt: skip


async def _existing(
    transaction: Connection, tenant: TenantId, execution_id: UUID, request: IdempotentRequest | None
) -> Execution:
    if request is not None:
        known = await transaction.fetchrow(_KEY, tenant.uuid, request.kind, request.key)
        if known is None:
            raise Conflict("the idempotency key was released meanwhile: repeat the request")
        if known["request_digest"] != request.digest:
            raise Conflict(f"the idempotency key {request.key!r} was used for another request: choose a new key")
        execution_id = known["execution_id"]
    record = await transaction.fetchrow(_GET, tenant.uuid, execution_id)
    if record is None:
        raise NotFound(f"no execution {execution_id}: it was removed by retention")
    return execution_of(record)
