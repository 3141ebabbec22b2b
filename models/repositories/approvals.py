"""Approvals: written by the interpreter's word, listed for people."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from uuid import UUID

import asyncpg

from engine.errors import NotFound
from models.jsonb import plain_text
from models.repositories.grants import ALL_MEMBERS, EVERYTHING, Sight
from models.repositories.outbox import OutboxMessages
from models.repositories.records import Page, columns_of, page_of, row_of
from models.roles import Role
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
    RETURNING xmax = 0 AS is_new
"""
OPENED = "approval.opened"
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


# What waits for one person: it has not spoken, is no starter who may not, and is asked by name or by role. `$6` is a
# member whose roles are grants; without one, `$4` holds the roles too and `$5` says whether it may run workflows.
_MINE = f"""
    tenant_id = $1 AND status = 'open' AND ($2::uuid IS NULL OR id < $2) AND (allow_self OR started_by <> $3)
    AND NOT EXISTS (SELECT FROM json_array_elements(decisions) d WHERE d->>'by' = $3)
    AND (SELECT CASE WHEN cardinality(approvers) = 0
                     THEN $5 AND ($6::uuid IS NULL OR held.rank >= role_rank('executor'))
                ELSE EXISTS (SELECT FROM unnest(approvers) AS a (name)
                              WHERE lower(trim(a.name)) = ANY ($4::text[])
                                 OR (a.name ILIKE 'role:%' AND role_rank(lower(substr(trim(a.name), 6))) <= held.rank))
                END
           FROM (SELECT max(role_rank(g.role)) FROM workflow_grant g
                  WHERE g.tenant_id = $1 AND g.workflow_id = approval.workflow_id
                    AND g.member_id IN ($6, '{ALL_MEMBERS}') AND $6 IS NOT NULL) AS held (rank))
"""
_WAITING = f"SELECT {_ALL} FROM approval WHERE {_MINE} ORDER BY id DESC LIMIT $7"
_COUNT = f"SELECT count(*) FROM (SELECT FROM approval WHERE {_MINE} LIMIT $7) mine"
# Members who are asked: by address or account, by a role in the tenant, or by one on the workflow.
_PEOPLE = f"""
    SELECT DISTINCT a.email FROM membership m JOIN user_account a ON a.id = m.user_id
     WHERE m.tenant_id = $1 AND m.accepted_at IS NOT NULL
       AND (a.email = ANY ($3) OR a.id::text = ANY ($3) OR ($4 AND m.role = 'admin')
            OR EXISTS (SELECT FROM workflow_grant g WHERE g.tenant_id = $1 AND g.workflow_id = $2
                          AND g.member_id IN (a.id, '{ALL_MEMBERS}') AND role_rank(g.role) >= $5))
     ORDER BY a.email
"""


@dataclass(frozen=True, slots=True)
class Asked:
    """One who may be asked: `id` as decisions have it, `names` in lower case, `member` if its roles are grants."""

    id: str
    names: Sequence[str]
    may_run: bool
    member: UUID | None = None


class Approvals:
    """The table `approval`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def record(self, tenant: TenantId, row: Approval) -> None:
        """Write an approval as it stands; an older state never replaces a newer one.

        The transaction that makes an open one's row tells the outbox of it (`OPENED`).
        """
        arguments = (
            tenant.uuid, row.id, row.execution_id, row.workflow_id, row.workflow_name, row.temporal_id, row.node_path,
            row.iteration, row.generation, row.execution_attempt, row.status, plain_text(row.message), row.form,
            [plain_text(name) for name in row.approvers], row.quorum, row.allow_self, plain_text(row.started_by),
            row.decisions, row.deadline, row.created_at, row.closed_at,
        )  # fmt: skip
        async with self._database.transaction(tenant) as transaction:
            is_new = await transaction.fetchval(_RECORD, *arguments)
            if is_new and row.status == "open":
                await OutboxMessages.add(transaction, tenant, OPENED, _told(row))

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

    async def waiting(
        self, tenant: TenantId, person: Asked, *, before: UUID | None = None, limit: int = 50
    ) -> Page[Approval]:
        """Open approvals that wait for this person's word, newest first; `before` is a page's `next`."""
        arguments = (tenant.uuid, before, person.id, list(person.names), person.may_run, person.member, limit + 1)
        async with self._database.transaction(tenant) as transaction:
            records = await transaction.fetch(_WAITING, *arguments)
        return page_of([_approval(record) for record in records], limit)

    async def count_waiting(self, tenant: TenantId, person: Asked, *, most: int) -> int:
        """How many do, counted up to `most`."""
        arguments = (tenant.uuid, None, person.id, list(person.names), person.may_run, person.member, most)
        async with self._database.transaction(tenant) as transaction:
            return int(await transaction.fetchval(_COUNT, *arguments))

    async def people_asked(self, tenant: TenantId, row: Approval) -> Sequence[str]:
        """Addresses of the members whom an approval asks, in order of the alphabet."""
        names = {name.strip().lower() for name in row.approvers} or {f"role:{Role.EXECUTOR}"}
        ranks = [role.rank for role in Role if f"role:{role}" in names]
        async with self._database.transaction(tenant) as transaction:
            records = await transaction.fetch(
                _PEOPLE, tenant.uuid, row.workflow_id, sorted(names), "role:admin" in names, min(ranks, default=99)
            )
        return [record["email"] for record in records]

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


def _told(row: Approval) -> dict[str, str]:
    return {
        "approval_id": str(row.id),
        "execution_id": str(row.execution_id),
        "workflow_id": str(row.workflow_id),
        "node": row.node_path,
    }


def _approval(record: asyncpg.Record) -> Approval:
    return row_of(Approval, record)
