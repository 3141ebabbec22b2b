"""Approvals: written by the interpreter's word, listed for people."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from uuid import UUID

import asyncpg

from engine.errors import NotFound
from models.jsonb import plain_text
from models.repositories.grants import EVERYTHING, Sight
from models.repositories.records import Page, columns_of, page_of, row_of
from models.session import Database
from models.tables import Approval
from models.tenancy import TenantId

_ALL = columns_of(Approval)
# Writings of one approval may come in any order: an end stays, and before it the one that knows more words.
_RECORD = """
    INSERT INTO approval AS a (tenant_id, id, execution_id, workflow_id, workflow_name, temporal_id, node_path,
        iteration, generation, execution_attempt, status, message, form, approvers, quorum, allow_self, started_by,
        decisions, deadline, created_at, closed_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21)
    ON CONFLICT (tenant_id, id) DO UPDATE
        SET status = excluded.status, decisions = excluded.decisions, closed_at = excluded.closed_at
     WHERE a.status = 'open' AND (excluded.status <> 'open'
           OR json_array_length(excluded.decisions) > json_array_length(a.decisions))
"""
_GET = f"SELECT {_ALL} FROM approval WHERE tenant_id = $1 AND id = $2"
_NEWEST = f"""
    SELECT {_ALL} FROM approval WHERE tenant_id = $1 AND execution_id = $2 AND node_path = $3 AND iteration = $4
     ORDER BY id DESC LIMIT 1
"""
_LIST = f"""
    SELECT {_ALL} FROM approval
     WHERE tenant_id = $1 AND ($2::text[] IS NULL OR status = ANY ($2)) AND ($3::uuid IS NULL OR execution_id = $3)
       AND ($4::uuid IS NULL OR id < $4) AND {{seen}} ORDER BY id DESC LIMIT $5
"""
# Who is asked by name sees the approval, whatever the grants on its workflow say.
_SEEN = "({seen} OR EXISTS (SELECT FROM unnest(approvers) AS a WHERE lower(trim(a)) = ANY ($7::text[])))"


class Approvals:
    """The table `approval`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def record(self, tenant: TenantId, row: Approval) -> None:
        """Write an approval as it stands; an older state never replaces a newer one."""
        arguments = (
            tenant.uuid, row.id, row.execution_id, row.workflow_id, row.workflow_name, row.temporal_id, row.node_path,
            row.iteration, row.generation, row.execution_attempt, row.status, plain_text(row.message), row.form,
            [plain_text(name) for name in row.approvers], row.quorum, row.allow_self, plain_text(row.started_by),
            row.decisions, row.deadline, row.created_at, row.closed_at,
        )  # fmt: skip
        async with self._database.transaction(tenant) as transaction:
            await transaction.execute(_RECORD, *arguments)

    async def get(self, tenant: TenantId, approval_id: UUID) -> Approval:
        """Raises: NotFound."""
        return await self._one(tenant, _GET, approval_id)

    async def newest(self, tenant: TenantId, execution_id: UUID, path: str, iteration: Sequence[int]) -> Approval:
        """What a node execution asked last. Raises: NotFound."""
        return await self._one(tenant, _NEWEST, execution_id, path, list(iteration))

    async def _one(self, tenant: TenantId, query: str, *arguments: object) -> Approval:
        async with self._database.transaction(tenant) as transaction:
            record = await transaction.fetchrow(query, tenant.uuid, *arguments)
        if record is None:
            raise NotFound("there is no such approval")
        return _approval(record)

    async def list(
        self,
        tenant: TenantId,
        *,
        statuses: Sequence[str] | None = None,
        execution_id: UUID | None = None,
        sight: Sight = EVERYTHING,
        names: Iterable[str] = (),
        before: UUID | None = None,
        limit: int = 50,
    ) -> Page[Approval]:
        """Approvals that `sight` shows or that ask one of `names`, newest first; `before` is a page's `next`."""
        wanted = None if statuses is None else list(statuses)
        arguments: list[object] = [tenant.uuid, wanted, execution_id, before, limit + 1]
        condition, seen_by = sight.condition("workflow_id")
        seen = "true"
        if seen_by is not None:
            seen = _SEEN.format(seen=condition.format(6))
            arguments += [seen_by, [name.lower() for name in names]]
        async with self._database.transaction(tenant) as transaction:
            records = await transaction.fetch(_LIST.format(seen=seen), *arguments)
        return page_of([_approval(record) for record in records], limit)


def _approval(record: asyncpg.Record) -> Approval:
    return row_of(Approval, record)
