"""Node executions: the recorder's writes, and what asks about them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any
from uuid import UUID

import asyncpg

from engine.errors import NotFound
from models.rows import (
    PRESENT_LIMIT,
    TERMINAL_NODE_STATUSES,
    Attempts,
    Confirmation,
    Finish,
    FinishResult,
    NodeKey,
    NodeRow,
    Present,
    Scope,
)
from models.session import Database, tenant_list
from models.tenancy import TenantId

_WRITE = "SELECT * FROM write_outcomes($1, $2, $3, $4, $5)"
_COLUMNS = (
    "execution_id, node_path, node_type, status, iteration, generation, reason, attempts, lost, execution_attempt,"
    " port, started_at, finished_at, duration_ms, input, output, error, assigned, worker, cached, seq"
)
_SCOPE = """
    tenant_id = $1 AND execution_id = $2 AND status = ANY ($3) AND ($4 = '' OR starts_with(node_path, $4))
    AND ($5::integer[] IS NULL OR iteration >= $5) AND ($6::integer[] IS NULL OR iteration < $6)
"""
_TOTALS = (
    f"SELECT count(*), (coalesce(sum(digest), 0) % 9223372036854775808)::bigint FROM node_execution WHERE {_SCOPE}"
)
_PRESENT = f"SELECT node_path, iteration, generation, digest FROM node_execution WHERE {_SCOPE} LIMIT {PRESENT_LIMIT}"
_ATTEMPTS = """
    SELECT status, attempts, lost, execution_attempt, port, output, error, assigned FROM node_execution
     WHERE tenant_id = $1 AND execution_id = $2 AND node_path = $3 AND iteration = $4 AND generation = $5
"""
_CHECKPOINTS = """
    SELECT node_path, iteration, generation, status, attempts, lost, execution_attempt, port, output, error, assigned
      FROM node_execution
     WHERE tenant_id = $1 AND execution_id = $2 AND node_path = ANY ($3) AND iteration >= $4 AND iteration <= $5
"""
_LIST = f"""
    SELECT {_COLUMNS} FROM node_execution
     WHERE tenant_id = $1 AND execution_id = $2 AND ($3::text IS NULL OR node_path = $3)
       AND ($4::text IS NULL OR status = $4) AND ($5::text IS NULL OR (node_path, iteration, generation) > ($5, $6, $7))
     ORDER BY node_path, iteration, generation LIMIT $8
"""
_CHANGES = f"""
    SELECT {_COLUMNS} FROM node_execution WHERE tenant_id = $1 AND execution_id = $2 AND seq > $3 ORDER BY seq LIMIT $4
"""
_COUNTS = """
    SELECT status, count(*) FROM node_execution WHERE tenant_id = $1 AND execution_id = $2 GROUP BY status
"""


class NodeExecutions:
    """The table `node_execution`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def write(
        self, rows: Sequence[NodeRow], settled: Sequence[NodeRow] = (), finishes: Sequence[Finish] = ()
    ) -> list[FinishResult | NotFound]:
        """Write outcomes and close executions in one transaction and one round trip; answers by `finishes`.

        `rows` never replace a row of higher precedence; `settled` rows replace any of their execution attempt. Each of
        the two holds a key at most once. The first outcome of a pending execution makes it running; outcomes of a
        closed or unknown execution are left out. An answer of NotFound means that the execution does not exist.
        """
        tenants = {row.tenant for row in (*rows, *settled)} | {finish.tenant for finish in finishes}
        arguments = (
            tenant_list(list(tenants)),
            [row.as_record() for row in rows],
            [row.as_record() for row in settled],
            [finish.as_record() for finish in finishes],
            PRESENT_LIMIT,
        )
        async with self._database.connection() as connection:
            answers = await connection.fetch(_WRITE, *arguments)
        return [_finish_result(answer) for answer in answers]

    async def confirm(
        self, tenant: TenantId, execution_id: UUID, count: int, digest: int, scope: Scope | None = None
    ) -> Confirmation:
        """Compare the terminal rows of an execution, or of a part of it, with what the asker counted."""
        part = scope or Scope()
        arguments = (
            tenant.uuid, execution_id, TERMINAL_NODE_STATUSES, part.path_prefix, part.first, part.stop,
        )  # fmt: skip
        async with self._database.transaction(tenant) as transaction:
            totals = await transaction.fetchrow(_TOTALS, *arguments)
            if totals is not None and (totals[0], totals[1]) == (count, digest):
                return Confirmation(complete=True)
            rows = await transaction.fetch(_PRESENT, *arguments)
        return Confirmation(complete=False, present=[_present(row) for row in rows])

    async def attempts(
        self, tenant: TenantId, execution_id: UUID, node_path: str, iteration: tuple[int, ...], generation: int
    ) -> Attempts | None:
        """What is recorded about one node execution; None if nothing is."""
        async with self._database.transaction(tenant) as transaction:
            row = await transaction.fetchrow(_ATTEMPTS, tenant.uuid, execution_id, node_path, iteration, generation)
        return None if row is None else Attempts(*row.values())

    async def checkpoints(
        self,
        tenant: TenantId,
        execution_id: UUID,
        node_paths: Collection[str],
        first: tuple[int, ...],
        last: tuple[int, ...],
    ) -> dict[NodeKey, Attempts]:
        """What is recorded about nodes of these paths, from one iteration to another, by key."""
        async with self._database.transaction(tenant) as transaction:
            rows = await transaction.fetch(_CHECKPOINTS, tenant.uuid, execution_id, sorted(node_paths), first, last)
        return {(row[0], tuple(row[1]), row[2]): Attempts(*tuple(row.values())[3:]) for row in rows}

    async def list(
        self,
        tenant: TenantId,
        execution_id: UUID,
        *,
        node_path: str | None = None,
        status: str | None = None,
        after: NodeKey | None = None,
        limit: int = 1000,
    ) -> list[NodeRow]:
        """Node executions by path, iteration and generation, those past `after`."""
        path, iteration, generation = after or (None, None, None)
        async with self._database.transaction(tenant) as transaction:
            rows = await transaction.fetch(
                _LIST, tenant.uuid, execution_id, node_path, status, path, iteration, generation, limit
            )
        return [_node_row(tenant, row) for row in rows]

    async def changes(self, tenant: TenantId, execution_id: UUID, *, after: int, limit: int = 1000) -> list[NodeRow]:
        """Node executions that changed after event `after`, in the order of their last change."""
        async with self._database.transaction(tenant) as transaction:
            rows = await transaction.fetch(_CHANGES, tenant.uuid, execution_id, after, limit)
        return [_node_row(tenant, row) for row in rows]

    async def counts(self, tenant: TenantId, execution_id: UUID) -> dict[str, int]:
        """How many node executions there are of each status."""
        async with self._database.transaction(tenant) as transaction:
            rows = await transaction.fetch(_COUNTS, tenant.uuid, execution_id)
        return {row[0]: row[1] for row in rows}


def _finish_result(answer: asyncpg.Record) -> FinishResult | NotFound:
    if not answer["found"]:
        return NotFound(f"no execution {answer['execution_id']}")
    present: list[list[Any]] | None = answer["present"]
    listed = None if present is None else [Present(path, tuple(its), gen, sum_) for path, its, gen, sum_ in present]
    return FinishResult(closed=answer["closed"], status=answer["status"], present=listed)


def _present(row: asyncpg.Record) -> Present:
    return Present(row[0], tuple(row[1]), row[2], row[3])


def _node_row(tenant: TenantId, record: asyncpg.Record) -> NodeRow:
    fields = dict(record)
    fields["iteration"] = tuple(fields["iteration"])
    return NodeRow(tenant=tenant, **fields)
