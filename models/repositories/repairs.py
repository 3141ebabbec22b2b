"""What the reconciler compares and repairs in PostgreSQL, for all tenants; nothing else may use it.

It looks under the policies of its own purpose, and writes as the tenants whose rows it repairs. A repair changes rows
only where they still are as they were found, so that two who repair at once do it once, and only one of them counts it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from models.session import Database
from models.tenancy import mint_tenant

_CLOSED = """
    SELECT t.id, e.id FROM tenant t CROSS JOIN LATERAL (
        SELECT x.id, x.finished_at FROM execution x WHERE x.tenant_id = t.id AND x.finished_at >= $1
           AND x.finished_at < $2 ORDER BY x.finished_at LIMIT $3) e
     ORDER BY e.finished_at, e.id LIMIT $3
"""
_ABANDON = """
    UPDATE node_execution n SET status = 'cancelled', reason = 'abandoned', finished_at = clock_timestamp(),
           seq = nextval('node_execution_seq')
     WHERE n.tenant_id = ANY ($1) AND n.execution_id = ANY ($2)
       AND n.status IN ('pending', 'running', 'waiting', 'retrying')
       AND EXISTS (SELECT FROM execution e WHERE e.tenant_id = n.tenant_id AND e.id = n.execution_id
                      AND e.finished_at IS NOT NULL)
"""
_STATES = """
    SELECT e.tenant_id, e.id, e.status, e.finished_at FROM unnest($1::uuid[], $2::uuid[]) AS asked (tenant_id, id)
      JOIN execution e USING (tenant_id, id)
"""
_LOCK_OPEN = "SELECT true FROM execution WHERE tenant_id = $1 AND id = $2 AND finished_at IS NULL FOR UPDATE"
_STARTED = """
    UPDATE execution SET status = 'running', started_at = coalesce(started_at, $3)
     WHERE tenant_id = $1 AND id = $2 AND status = 'pending' AND reason IS NULL AND finished_at IS NULL RETURNING true
"""
_APPROVALS = "SELECT tenant_id, id, execution_id FROM approval WHERE status = 'open' AND created_at < $1 LIMIT $2"
_CLOSE_APPROVALS = """
    UPDATE approval a SET status = 'cancelled', closed_at = clock_timestamp()
     WHERE a.tenant_id = ANY ($1) AND a.id = ANY ($2) AND a.status = 'open'
       AND NOT EXISTS (SELECT FROM execution e WHERE e.tenant_id = a.tenant_id AND e.id = a.execution_id
                          AND (e.finished_at IS NULL OR e.finished_at >= $3))
"""
_RESERVATIONS = """
    SELECT DISTINCT tenant_id FROM ai_call WHERE status = 'reserved' AND created_at < $1 LIMIT 1000
"""
_RELEASE = """
    UPDATE ai_call c SET status = 'released', settled_at = clock_timestamp()
     WHERE c.tenant_id = $1 AND c.status = 'reserved' AND c.created_at < $2
       AND (c.expires_at < $2 OR EXISTS (SELECT FROM execution e WHERE e.tenant_id = c.tenant_id
                                            AND e.id = c.execution_id AND e.finished_at < $2))
"""
# No pause between two tries is longer than five minutes, and no lease than half a minute.
_LEASES = """
    UPDATE outbox SET next_try = clock_timestamp()
     WHERE delivered_at IS NULL AND parked_at IS NULL AND next_try > now() + $1::interval
"""
_LIMITED = """
    SELECT tenant_id FROM quota UNION SELECT tenant_id FROM waiting_execution
    UNION SELECT tenant_id FROM execution WHERE status = 'pending' AND finished_at IS NULL AND reason IS NOT NULL
"""
_QUOTAS = "SELECT counters, stale, lost, handed FROM repair_quotas($1, $2)"
_TOTALS = """
    SELECT count(*), (coalesce(sum(digest), 0) % 9223372036854775808)::bigint FROM node_execution
     WHERE tenant_id = $1 AND execution_id = $2 AND node_status_rank(status) = 4
"""
_COUNTS = """
    SELECT status, count(*) FROM node_execution WHERE tenant_id = $1 AND execution_id = $2 GROUP BY status
"""

Place = tuple[UUID, UUID]  # tenant, execution


@dataclass(frozen=True, slots=True)
class QuotaRepairs:
    """Counters that were wrong, waiting rows of executions that wait no more, waits without a row, slots handed on."""

    counters: int
    stale: int
    lost: int
    handed: int


@dataclass(frozen=True, slots=True)
class Standing:
    """How an execution stands in the record; `finished_at` is None while it is open."""

    status: str
    finished_at: datetime | None


class Repairs:
    """Comparisons and repairs of the record."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def closed_between(self, since: datetime, until: datetime, limit: int) -> list[Place]:
        """Executions that ended in this time, the oldest first."""
        async with self._database.transaction(purpose="reconciler") as transaction:
            return [(row[0], row[1]) for row in await transaction.fetch(_CLOSED, since, until, limit)]

    async def abandon_nodes(self, closed: Sequence[Place]) -> int:
        """End the node executions that still look as if they ran, under executions that are closed; how many."""
        return await self._change(closed, _ABANDON, [tenant for tenant, _ in closed], [item for _, item in closed])

    async def standing(self, places: Sequence[Place]) -> dict[Place, Standing]:
        """How these executions stand; those that are not there are left out."""
        async with self._database.transaction(purpose="reconciler") as transaction:
            rows = await transaction.fetch(_STATES, [place[0] for place in places], [place[1] for place in places])
        return {(row[0], row[1]): Standing(row[2], row[3]) for row in rows}

    async def node_counts(self, place: Place) -> dict[str, int]:
        """How many node executions an execution has, by status."""
        async with self._database.transaction(mint_tenant(place[0])) as transaction:
            return {row[0]: row[1] for row in await transaction.fetch(_COUNTS, *place)}

    async def totals_of_open(self, place: Place) -> tuple[int, int] | None:
        """Count and digest of the ended nodes of an execution, whose row is locked from now on; None if it is closed.

        To be asked inside `Database.joined`, with the closing.
        """
        tenant, execution = place
        async with self._database.transaction(mint_tenant(tenant)) as transaction:
            if await transaction.fetchval(_LOCK_OPEN, tenant, execution) is None:
                return None
            row = await transaction.fetchrow(_TOTALS, tenant, execution)
        assert row is not None
        return row[0], row[1]

    async def mark_started(self, place: Place, at: datetime) -> bool:
        """Say that an execution runs; False if it is not pending any more."""
        async with self._database.transaction(mint_tenant(place[0])) as transaction:
            return await transaction.fetchval(_STARTED, *place, at) is not None

    async def close_approvals(self, before: datetime, limit: int) -> int:
        """End open approvals of executions that ended before that, or are gone; how many."""
        async with self._database.transaction(purpose="reconciler") as transaction:
            rows = await transaction.fetch(_APPROVALS, before, limit)
        tenants, ids = [row[0] for row in rows], [row[1] for row in rows]
        return await self._change([(row[0], row[1]) for row in rows], _CLOSE_APPROVALS, tenants, ids, before)

    async def release_reservations(self, before: datetime) -> int:
        """Give back what AI calls hold that ran out before that, or whose execution ended before that; how many."""
        async with self._database.transaction(purpose="reconciler") as transaction:
            tenants = [row[0] for row in await transaction.fetch(_RESERVATIONS, before)]
        released = 0
        for tenant in tenants:
            async with self._database.transaction(mint_tenant(tenant)) as transaction:
                released += _count(await transaction.execute(_RELEASE, tenant, before))
        return released

    async def end_leases(self, longest: timedelta) -> int:
        """Make messages due whose next try is further away than any lease or pause; how many."""
        async with self._database.transaction(purpose="relay") as transaction:
            return _count(await transaction.execute(_LEASES, longest))

    async def limited_tenants(self) -> list[UUID]:
        """Tenants that have a rule, or executions that wait."""
        async with self._database.transaction(purpose="reconciler") as transaction:
            return [row[0] for row in await transaction.fetch(_LIMITED)]

    async def quotas(self, tenant: UUID, complete_since: datetime) -> QuotaRepairs:
        """Recount what a tenant uses, exactly, and hand free slots on, in one transaction.

        Counters of a period that began before `complete_since` are left alone: rows of it may have been forgotten.
        """
        async with self._database.connection() as connection:
            row = await connection.fetchrow(_QUOTAS, tenant, complete_since)
        assert row is not None
        return QuotaRepairs(*row)

    async def _change(self, places: Sequence[Place], query: str, *arguments: object) -> int:
        if not places:
            return 0
        tenants = [mint_tenant(tenant) for tenant in {tenant for tenant, _ in places}]
        async with self._database.transaction(tenants) as transaction:
            return _count(await transaction.execute(query, *arguments))


def _count(status: str) -> int:
    return int(status.rpartition(" ")[2])
