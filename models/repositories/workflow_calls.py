"""Which workflows a version may call: those that its author might start."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from models.repositories.grants import ALL_MEMBERS
from models.roles import Role
from models.session import Database
from models.tenancy import TenantId

_NOTE = """
    INSERT INTO workflow_call (tenant_id, version_id, workflow_id)
    SELECT $1, $2, called FROM unnest($3::uuid[]) AS called ON CONFLICT DO NOTHING
"""
_MAY = f"""
    SELECT v.author_id IS NULL OR v.workflow_id = $3
        OR EXISTS (SELECT FROM workflow_call c WHERE c.tenant_id = $1 AND c.version_id = $2 AND c.workflow_id = $3)
        OR EXISTS (SELECT FROM membership m WHERE m.tenant_id = $1 AND m.user_id = v.author_id
            AND m.accepted_at IS NOT NULL AND (m.role = 'admin' OR EXISTS (SELECT FROM workflow_grant g
                WHERE g.tenant_id = $1 AND g.workflow_id = $3 AND g.member_id IN (v.author_id, '{ALL_MEMBERS}')
                  AND role_rank(g.role) >= $4)))
      FROM workflow_version v WHERE v.tenant_id = $1 AND v.id = $2
"""
_NAMED = """
    SELECT id, name AS said, true AS by_name FROM workflow WHERE tenant_id = $1 AND name = ANY ($2)
     UNION ALL SELECT w.id, n.said, false FROM unnest($3::uuid[], $4::text[]) AS n (id, said)
               JOIN workflow w ON w.tenant_id = $1 AND w.id = n.id
     ORDER BY by_name
"""


class WorkflowCalls:
    """The table `workflow_call`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def note(self, tenant: TenantId, version_id: UUID, called: Sequence[UUID]) -> None:
        """Put down that somebody who might start these workflows has vouched for the version that calls them."""
        async with self._database.transaction(tenant) as transaction:
            await transaction.execute(_NOTE, tenant.uuid, version_id, list(called))

    async def may_call(self, tenant: TenantId, version_id: UUID, workflow_id: UUID) -> bool:
        """Whether it was vouched for, or the version's author may start the workflow now.

        A version that no person has saved may call all of its tenant.
        """
        async with self._database.transaction(tenant) as transaction:
            may = await transaction.fetchval(_MAY, tenant.uuid, version_id, workflow_id, Role.EXECUTOR.rank)
        return bool(may)

    async def named(self, tenant: TenantId, names: Sequence[str]) -> dict[str, UUID]:
        """The workflows of these names, or else ids; what there is none of is left out."""
        ids = {name: identifier for name in names if (identifier := _uuid(name)) is not None}
        async with self._database.transaction(tenant) as transaction:
            records = await transaction.fetch(_NAMED, tenant.uuid, list(names), list(ids.values()), list(ids))
        return {record["said"]: record["id"] for record in records}


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
