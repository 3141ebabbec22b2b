"""Changes of executions and node executions as they were committed, and the log lines beside them, for live streams."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import asyncpg

from models.change_cursor import EXECUTION, NODE, ChangeCursor, Place, Snapshot
from models.repositories.grants import EVERYTHING, Sight
from models.repositories.logs import LEVELS
from models.session import Database
from models.tenancy import TenantId

LATE_S = 600  # an end that is committed later than that after its time may be missing in a tenant's stream

_ONE = "e.id = ${}"
_OPEN = "e.status IN ('pending', 'running', 'paused') AND e.finished_at IS NULL"
_ENDED = "e.finished_at > to_timestamp(${}::bigint)"
_EXECUTION = (
    "e.workflow_name, e.trigger, e.created_at, e.status, e.reason, e.started_at, e.finished_at, e.duration_ms, e.error"
)
# `OFFSET 0` has the rows of each execution looked up by their key, whatever the planner thinks of their number.
_CHANGES = """
    WITH now AS MATERIALIZED (SELECT pg_current_snapshot() AS s, extract(epoch FROM clock_timestamp())::bigint AS at_s),
    e AS MATERIALIZED ({executions})
    SELECT now.s::text AS snapshot, now.at_s, EXISTS (SELECT FROM e WHERE e.finished_at IS NULL) AS any_open, c.*
      FROM now LEFT JOIN (
        SELECT 1 AS kind, e.transaction, 0::bigint AS seq, e.id, e.workflow_id, {execution}, NULL::text AS node_path,
               NULL::text AS node_type, NULL::integer[] AS iteration, NULL::integer AS generation,
               NULL::integer AS attempts, NULL::integer AS execution_attempt, NULL::text AS port
          FROM e
         WHERE NOT was_over_in(e.transaction, $2::text::pg_snapshot)
           AND (e.transaction <> $3 OR (1, e.id) > ($4::integer, $6::uuid))
        UNION ALL
        SELECT 0, n.transaction, n.seq, e.id, e.workflow_id, e.workflow_name, e.trigger, e.created_at, n.status,
               n.reason, n.started_at, n.finished_at, n.duration_ms, n.error, n.node_path, n.node_type, n.iteration,
               n.generation, n.attempts, n.execution_attempt, n.port
          FROM e CROSS JOIN LATERAL (
            SELECT x.seq, x.status, x.reason, x.started_at, x.finished_at, x.duration_ms, x.error, x.node_path,
                   x.node_type, x.iteration, x.generation, x.attempts, x.execution_attempt, x.port,
                   transaction_of(x.xmin, now.s) AS transaction
              FROM now, node_execution x WHERE x.tenant_id = $1 AND x.execution_id = e.id OFFSET 0) n
         WHERE $8 AND NOT was_over_in(n.transaction, $2::text::pg_snapshot)
           AND (n.transaction <> $3 OR (0, n.seq) > ($4::integer, $5::bigint))
    ) c ON true
     ORDER BY c.transaction IS DISTINCT FROM $3, c.transaction, c.kind, c.seq, c.id LIMIT $7
"""
_LINES = """
    WITH e AS MATERIALIZED ({executions})
    SELECT l.*, e.workflow_id FROM e CROSS JOIN LATERAL (
        SELECT x.execution_id, x.seq, x.at, x.level, x.node_path, x.iteration, x.attempt, x.message, x.fields
          FROM execution_log x
         WHERE x.tenant_id = $1 AND x.execution_id = e.id AND x.seq > $2 AND x.level = ANY ($3::text[])
         ORDER BY x.seq LIMIT $4) l
     ORDER BY l.seq LIMIT $4
"""
_HERE = """
    SELECT pg_current_snapshot()::text, extract(epoch FROM clock_timestamp())::bigint,
           coalesce(pg_sequence_last_value('execution_log_seq'), 0)
"""
_VISIBLE = "SELECT e.id FROM execution e WHERE e.tenant_id = $1 AND e.id = ANY ($2::uuid[]){more}"


@dataclass(frozen=True, slots=True)
class Watched:
    """What a stream shows: one execution, or those of a tenant (of one workflow) that `sight` sees.

    `nodes`: their node executions too. `lines` is the lowest level of log lines, None for none.
    """

    execution_id: UUID | None = None
    workflow_id: UUID | None = None
    sight: Sight = EVERYTHING
    nodes: bool = True
    lines: str | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """A node execution or an execution as it is now, and the cursor behind it; `values` are columns."""

    cursor: ChangeCursor
    values: dict[str, Any]

    @property
    def is_execution(self) -> bool:
        return self.values["kind"] == EXECUTION

    @property
    def node(self) -> tuple[str, tuple[int, ...], int]:
        """Which node execution it is: path, iteration, generation."""
        return self.values["node_path"], tuple(self.values["iteration"]), self.values["generation"]


@dataclass(frozen=True, slots=True)
class ChangePage:
    """Changes in order. `cursor` is behind all of them; `more`: there are others. `any_open`: something still runs.

    `lost`: the cursor that was asked with is of another database, so the page begins at the beginning.
    """

    changes: list[Change]
    cursor: ChangeCursor
    more: bool
    any_open: bool
    lost: bool = False


@dataclass(frozen=True, slots=True)
class Line:
    """A log line with the cursor behind it; `values` are columns."""

    cursor: ChangeCursor
    values: dict[str, Any]


@dataclass(slots=True)
class _Arguments:
    """Arguments of a statement, numbered as they come."""

    values: list[Any]

    def put(self, fragment: str, value: Any) -> str:
        self.values.append(value)
        return fragment.format(len(self.values))


class Live:
    """Reads what has changed since a cursor. Writes nothing and locks nothing."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def here(self, tenant: TenantId) -> ChangeCursor:
        """The cursor of now: whatever is committed from here on is behind it."""
        async with self._database.transaction(tenant) as transaction:
            snapshot, at_s, log_seq = await transaction.fetchrow(_HERE) or ("", 0, 0)
        return ChangeCursor(Snapshot.parse(snapshot), log_seq=log_seq, at_s=at_s)

    async def changes(
        self, tenant: TenantId, watched: Watched, cursor: ChangeCursor, *, limit: int = 500
    ) -> ChangePage:
        """What was committed since, each row in its newest state; a row that changed twice comes once.

        An execution comes behind those of its nodes that were committed together with it.
        """
        place = cursor.place
        partly = -1 if cursor.partly is None else cursor.partly
        arguments = _Arguments(
            [tenant.uuid, str(cursor.seen), partly, place.kind, place.seq, place.id, limit, watched.nodes]
        )
        columns = f"e.id, e.workflow_id, {_EXECUTION}, transaction_of(e.xmin, now.s) AS transaction"
        executions = _executions(watched, cursor, arguments, columns, "now, execution e")
        query = _CHANGES.format(executions=executions, execution=_EXECUTION)
        async with self._database.transaction(tenant) as transaction:
            records = await transaction.fetch(query, *arguments.values)
        now = Snapshot.parse(records[0]["snapshot"])
        if now.ceiling < cursor.seen.ceiling:
            again = await self.changes(tenant, watched, ChangeCursor(log_seq=cursor.log_seq), limit=limit)
            return ChangePage(again.changes, again.cursor, again.more, again.any_open, lost=True)
        return _page(records, cursor, now, limit)

    async def lines(self, tenant: TenantId, watched: Watched, cursor: ChangeCursor, *, limit: int = 500) -> list[Line]:
        """Log lines since, in the order they were written; none if none are wanted."""
        if watched.lines is None:
            return []
        levels = LEVELS[LEVELS.index(watched.lines) :]
        arguments = _Arguments([tenant.uuid, cursor.log_seq, list(levels), limit])
        executions = _executions(watched, cursor, arguments, "e.id, e.workflow_id", "execution e")
        async with self._database.transaction(tenant) as transaction:
            records = await transaction.fetch(_LINES.format(executions=executions), *arguments.values)
        return [Line(cursor.with_log(record["seq"]), dict(record)) for record in records]

    async def visible(self, tenant: TenantId, watched: Watched, executions: Sequence[UUID]) -> set[UUID]:
        """Those of the executions that the stream may show."""
        arguments = _Arguments([tenant.uuid, list(executions)])
        query = _VISIBLE.format(more=_narrowed(watched, arguments))
        async with self._database.transaction(tenant) as transaction:
            return {record[0] for record in await transaction.fetch(query, *arguments.values)}


def _executions(watched: Watched, cursor: ChangeCursor, arguments: _Arguments, columns: str, tables: str) -> str:
    """A query of the executions that the stream is about."""
    base = f"SELECT {columns} FROM {tables} WHERE e.tenant_id = $1 AND "
    if watched.execution_id is not None:
        return base + arguments.put(_ONE, watched.execution_id)
    narrowed = _narrowed(watched, arguments)
    ended = arguments.put(_ENDED, cursor.at_s - LATE_S)
    return f"{base}{_OPEN}{narrowed} UNION ALL {base}{ended}{narrowed}"


def _narrowed(watched: Watched, arguments: _Arguments) -> str:
    wanted = [("e.workflow_id = ${}", watched.workflow_id), watched.sight.condition("e.workflow_id")]
    return "".join(f" AND {arguments.put(part, value)}" for part, value in wanted if value is not None)


def _page(records: Sequence[asyncpg.Record], cursor: ChangeCursor, now: Snapshot, limit: int) -> ChangePage:
    first = records[0]
    found = [record for record in records if record["kind"] is not None]
    more = len(found) >= limit
    places = [(record["transaction"], _place(record)) for record in found]
    cursors = cursor.behind(places, now, first["at_s"], whole=not more)
    changes = [Change(behind, dict(record)) for behind, record in zip(cursors, found, strict=True)]
    last = cursors[-1] if more else ChangeCursor(now, log_seq=cursor.log_seq, at_s=first["at_s"])
    return ChangePage(changes, last, more, first["any_open"])


def _place(record: asyncpg.Record) -> Place:
    return Place(NODE, record["seq"]) if record["kind"] == NODE else Place(EXECUTION, 0, record["id"])
