"""AI budgets of tenants and workflows."""

from __future__ import annotations

from decimal import Decimal
from uuid import UUID

import asyncpg

from engine.errors import Conflict, NotFound
from models.ids import new_id
from models.repositories.records import Page, columns_of, page_of, row_of
from models.session import Database
from models.tables import AiBudget
from models.tenancy import TenantId

_ALL = columns_of(AiBudget)
_INSERT = f"""
    INSERT INTO ai_budget (tenant_id, id, scope, key, period, tokens, cost) VALUES ($1, $2, $3, $4, $5, $6, $7)
    RETURNING {_ALL}
"""
_UPDATE = f"""
    UPDATE ai_budget SET tokens = $3, cost = $4, updated_at = now() WHERE tenant_id = $1 AND id = $2 RETURNING {_ALL}
"""
_GET = f"SELECT {_ALL} FROM ai_budget WHERE tenant_id = $1 AND id = $2"
_LIST = f"""
    SELECT {_ALL} FROM ai_budget WHERE tenant_id = $1 AND ($2::uuid IS NULL OR id < $2) ORDER BY id DESC LIMIT $3
"""
_DELETE = "DELETE FROM ai_budget WHERE tenant_id = $1 AND id = $2 RETURNING 1"


class AiBudgets:
    """The table `ai_budget`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(
        self, tenant: TenantId, workflow_id: UUID | None, period: str, *, tokens: int | None, cost: Decimal | None
    ) -> AiBudget:
        """A budget of a workflow, or of the whole tenant without one. Raises: Conflict if there is one already."""
        scope, key = ("tenant", "") if workflow_id is None else ("workflow", str(workflow_id))
        try:
            async with self._database.transaction(tenant) as transaction:
                arguments = (tenant.uuid, new_id(), scope, key, period, tokens, cost)
                record = await transaction.fetchrow(_INSERT, *arguments)
        except asyncpg.UniqueViolationError:
            message = f"there is a budget of this {scope} for this period already: change that one"
            raise Conflict(message, code="BUDGET_EXISTS") from None
        assert record is not None
        return row_of(AiBudget, record)

    async def change(self, tenant: TenantId, budget_id: UUID, *, tokens: int | None, cost: Decimal | None) -> AiBudget:
        """Set both bounds. Raises: NotFound."""
        async with self._database.transaction(tenant) as transaction:
            record = await transaction.fetchrow(_UPDATE, tenant.uuid, budget_id, tokens, cost)
        return row_of(AiBudget, _found(record, budget_id))

    async def get(self, tenant: TenantId, budget_id: UUID) -> AiBudget:
        """Raises: NotFound."""
        async with self._database.transaction(tenant) as transaction:
            record = await transaction.fetchrow(_GET, tenant.uuid, budget_id)
        return row_of(AiBudget, _found(record, budget_id))

    async def list(self, tenant: TenantId, *, before: UUID | None = None, limit: int = 50) -> Page[AiBudget]:
        """Newest first."""
        async with self._database.transaction(tenant) as transaction:
            records = await transaction.fetch(_LIST, tenant.uuid, before, limit + 1)
        return page_of([row_of(AiBudget, record) for record in records], limit)

    async def delete(self, tenant: TenantId, budget_id: UUID) -> None:
        """Raises: NotFound."""
        async with self._database.transaction(tenant) as transaction:
            _found(await transaction.fetchrow(_DELETE, tenant.uuid, budget_id), budget_id)


def _found(record: asyncpg.Record | None, budget_id: UUID) -> asyncpg.Record:
    if record is None:
        raise NotFound(f"no budget {budget_id}")
    return record
