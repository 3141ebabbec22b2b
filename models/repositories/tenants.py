"""Tenants."""

from __future__ import annotations

from uuid import UUID

from models.repositories.records import columns_of, row_of
from models.session import Database
from models.tables import Tenant
from models.tenancy import TenantId

# The tenant of an installation that has one only; a fixed id, so that every process finds it without asking.
FIRST_TENANT = UUID("00000000-0000-7000-8000-000000000001")
_ALL = columns_of(Tenant)


class Tenants:
    """The table `tenant`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def ensure(self, tenant: TenantId, name: str) -> Tenant:
        """Make the tenant if it is not there. Raises: asyncpg.UniqueViolationError if another has this name."""
        insert = "INSERT INTO tenant (id, name) VALUES ($1, $2) ON CONFLICT (id) DO NOTHING"
        async with self._database.transaction(tenant) as transaction:
            await transaction.execute(insert, tenant.uuid, name)
            record = await transaction.fetchrow(f"SELECT {_ALL} FROM tenant WHERE id = $1", tenant.uuid)
        assert record is not None
        return row_of(Tenant, record)

    async def ids(self) -> list[UUID]:
        """Every tenant; for the reconciler alone."""
        async with self._database.transaction(purpose="reconciler") as transaction:
            return [record["id"] for record in await transaction.fetch("SELECT id FROM tenant ORDER BY id")]
