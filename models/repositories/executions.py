"""Executions: their creation, their states up to the end, and lists of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg

from engine.errors import Conflict, NotFound
from models.ids import new_id
from models.repositories.records import Page, columns_of, page_of, row_of
from models.session import Connection, Database
from models.tables import Execution
from models.tenancy import TenantId

_RENAMED = {"metadata": "labels"}
_ALL = columns_of(Execution)
_LISTED = columns_of(Execution, without=("input", "output"))


@dataclass(frozen=True, slots=True)
class IdempotentRequest:
    """A request that may be repeated: `key` within `kind`, and the SHA-256 of what it asks for."""

    kind: str
    key: str
    digest: bytes


@dataclass(frozen=True, slots=True)
class Hold:
    """A place in a quota counter for as long as the execution lasts; `limit` None only counts."""

    scope: str
    key: str
    limit: int | None = None


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


@dataclass(frozen=True, slots=True)
class ExecutionFilter:
    """What a list of executions is narrowed to; `labels` must all be there with these values."""

    workflow_id: UUID | None = None
    statuses: Sequence[str] | None = None
    trigger: str | None = None
    parent_execution_id: UUID | None = None
    rerun_of: UUID | None = None
    created_from: datetime | None = None
    created_before: datetime | None = None
    labels: Mapping[str, Any] | None = None


_CREATE = f"SELECT {_ALL} FROM create_execution({', '.join(f'${n}' for n in range(1, 20))})"
_KEY = "SELECT execution_id, request_digest FROM idempotency_key WHERE tenant_id = $1 AND kind = $2 AND key = $3"
_GET = f"SELECT {_ALL} FROM execution WHERE tenant_id = $1 AND id = $2"
_TAKE = """
    INSERT INTO quota_counter AS q (tenant_id, scope, key, value)
    SELECT $1::uuid, $2::text, $3::text, 1 WHERE $4::bigint IS NULL OR $4 > 0
    ON CONFLICT (tenant_id, scope, key) DO UPDATE SET value = q.value + 1 WHERE $4::bigint IS NULL OR q.value < $4
    RETURNING value
"""
_RUNNING = """
    UPDATE execution SET status = 'running', started_at = coalesce(started_at, $3, now()),
           node_total = coalesce($4, node_total), attempt = greatest(attempt, coalesce($5, attempt))
     WHERE tenant_id = $1 AND id = $2 AND finished_at IS NULL AND status IN ('pending', 'running') RETURNING 1
"""
_PAUSE = """
    UPDATE execution SET status = $3 WHERE tenant_id = $1 AND id = $2 AND finished_at IS NULL AND status <> 'pending'
    RETURNING 1
"""
_PENDING = f"""
    SELECT {_ALL} FROM execution WHERE status = 'pending' AND finished_at IS NULL AND created_at < now() - $1::interval
     ORDER BY created_at LIMIT $2
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
        holds: Sequence[Hold] = (),
    ) -> Created:
        """Insert a pending execution in one transaction with its idempotency key and its places in quota counters.

        The same key and request, or the same id, gives the execution that is there.
        Raises: Conflict if the key was used for another request, or (QUOTA_EXCEEDED) if a counter is full.
        """
        record = await self._insert(tenant, new, request, holds)
        if record is not None:
            return Created(_execution(record), is_new=True)
        async with self._database.transaction(tenant) as transaction:
            return Created(await _existing(transaction, tenant, new.id, request), is_new=False)

    async def _insert(
        self, tenant: TenantId, new: NewExecution, request: IdempotentRequest | None, holds: Sequence[Hold]
    ) -> asyncpg.Record | None:
        """The new row, None if there is one already. Without quota counters one call is the whole transaction."""
        arguments = _arguments(tenant, new, request, holds)
        if not holds:
            async with self._database.connection() as connection:
                return await connection.fetchrow(_CREATE, *arguments)
        async with self._database.transaction(tenant) as transaction:
            record = await transaction.fetchrow(_CREATE, *arguments)
            for hold in sorted(holds, key=lambda hold: (hold.scope, hold.key)) if record is not None else ():
                await _take(transaction, tenant, hold)
            return record

    async def get(self, tenant: TenantId, execution_id: UUID) -> Execution:
        """Raises: NotFound."""
        async with self._database.transaction(tenant) as transaction:
            record = await transaction.fetchrow(_GET, tenant.uuid, execution_id)
        if record is None:
            raise NotFound(f"no execution {execution_id}")
        return _execution(record)

    async def list(
        self,
        tenant: TenantId,
        narrowed: ExecutionFilter | None = None,
        *,
        before: UUID | None = None,
        limit: int = 50,
    ) -> Page[Execution]:
        """Executions, newest first, without their input and output; `before` is the `next` of the page before."""
        conditions, arguments = _conditions(tenant, narrowed or ExecutionFilter(), before)
        arguments.append(limit + 1)
        query = (
            f"SELECT {_LISTED} FROM execution WHERE {' AND '.join(conditions)} ORDER BY id DESC LIMIT ${len(arguments)}"
        )
        async with self._database.transaction(tenant) as transaction:
            records = await transaction.fetch(query, *arguments)
        return page_of([_execution(record) for record in records], limit)

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
        return [_execution(record) for record in records]

    async def open_executions(
        self, older_than: timedelta, *, after: UUID | None = None, limit: int = 500
    ) -> list[Execution]:
        """Executions of every tenant that are not over, by id, without input and output; for the reconciler alone."""
        async with self._database.transaction(purpose="reconciler") as transaction:
            records = await transaction.fetch(_OPEN, older_than, after, limit)
        return [_execution(record) for record in records]


def _execution(record: asyncpg.Record) -> Execution:
    return row_of(Execution, record, renamed=_RENAMED)


def _arguments(
    tenant: TenantId, new: NewExecution, request: IdempotentRequest | None, holds: Sequence[Hold]
) -> tuple[Any, ...]:
    held = [[hold.scope, hold.key] for hold in holds] or None
    once = (None, None, None) if request is None else (request.kind, request.key, request.digest)
    return (
        tenant.uuid, new.id, new.workflow_id, new.version_id, new.workflow_name, new.trigger, new.trigger_node,
        new.input, new.parent_execution_id, new.rerun_of, new.node_total, new.priority, dict(new.labels), held,
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
    return _execution(record)


async def _take(transaction: Connection, tenant: TenantId, hold: Hold) -> None:
    if await transaction.fetchval(_TAKE, tenant.uuid, hold.scope, hold.key, hold.limit) is None:
        raise Conflict(
            f"the quota {hold.scope} of {hold.limit} is used up",
            code="QUOTA_EXCEEDED",
            details={"scope": hold.scope, "key": hold.key, "limit": hold.limit},
        )


def _conditions(tenant: TenantId, narrowed: ExecutionFilter, before: UUID | None) -> tuple[list[str], list[Any]]:
    """SQL fragments, all of them constants, and the arguments that they number."""
    wanted: list[tuple[str, Any]] = [
        ("workflow_id = ${}", narrowed.workflow_id),
        ("status = ANY (${}::text[])", None if narrowed.statuses is None else list(narrowed.statuses)),
        ("trigger = ${}", narrowed.trigger),
        ("parent_execution_id = ${}", narrowed.parent_execution_id),
        ("rerun_of = ${}", narrowed.rerun_of),
        ("created_at >= ${}", narrowed.created_from),
        ("created_at < ${}", narrowed.created_before),
        ("metadata <> '{{}}'::jsonb AND metadata @> ${}::jsonb", dict(narrowed.labels) if narrowed.labels else None),
        ("id < ${}", before),
    ]
    conditions, arguments = ["tenant_id = $1"], [tenant.uuid]
    for fragment, argument in wanted:
        if argument is not None:
            arguments.append(argument)
            conditions.append(fragment.format(len(arguments)))
    return conditions, arguments
