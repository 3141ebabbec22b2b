"""Tenants."""

from __future__ import annotations

from uuid import UUID

import asyncpg

from engine.errors import Conflict, NotFound
from models.ids import new_id
from models.jsonb import plain_text
from models.repositories.records import Page, columns_of, page_of, row_of
from models.session import Database
from models.tables import Tenant
from models.tenancy import TenantId, mint_tenant

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

    async def create(self, name: str) -> Tenant:
        """A new tenant. Raises: Conflict if the name is taken."""
        tenant = mint_tenant(new_id())
        try:
            return await self.ensure(tenant, plain_text(name) or "")
        except asyncpg.UniqueViolationError:
            raise _taken(name) from None

    async def rename(self, tenant: TenantId, name: str) -> Tenant:
        """Raises: Conflict if the name is taken."""
        query = f"UPDATE tenant SET name = $2 WHERE id = $1 RETURNING {_ALL}"
        try:
            async with self._database.transaction(tenant) as transaction:
                record = await transaction.fetchrow(query, tenant.uuid, plain_text(name))
        except asyncpg.UniqueViolationError:
            raise _taken(name) from None
        assert record is not None
        return row_of(Tenant, record)

    async def get(self, tenant: TenantId) -> Tenant:
        async with self._database.transaction(tenant) as transaction:
            record = await transaction.fetchrow(f"SELECT {_ALL} FROM tenant WHERE id = $1", tenant.uuid)
        if record is None:
            raise NotFound(f"no tenant {tenant}")
        return row_of(Tenant, record)

    async def page(self, *, before: UUID | None, limit: int) -> Page[Tenant]:
        """Every tenant, newest first; for the installation's administrator alone."""
        query = f"SELECT {_ALL} FROM tenant WHERE ($1::uuid IS NULL OR id < $1) ORDER BY id DESC LIMIT $2"
        async with self._database.transaction(purpose="installation") as transaction:
            records = await transaction.fetch(query, before, limit + 1)
        return page_of([row_of(Tenant, record) for record in records], limit)

    async def named(self, name: str) -> Tenant | None:
        """The tenant of a name; for the operator and the operator's settings."""
        async with self._database.transaction(purpose="installation") as transaction:
            record = await transaction.fetchrow(f"SELECT {_ALL} FROM tenant WHERE name = $1", plain_text(name))
        return None if record is None else row_of(Tenant, record)

    async def ids(self) -> list[UUID]:
        """Every tenant; for the reconciler alone."""
        async with self._database.transaction(purpose="reconciler") as transaction:
            return [record["id"] for record in await transaction.fetch("SELECT id FROM tenant ORDER BY id")]


def _taken(name: str) -> Conflict:
    return Conflict(f"there is a tenant {name[:80]!r} already", code="NAME_TAKEN")
