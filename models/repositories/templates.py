"""Templates that a tenant has made of its workflows."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import asyncpg

from engine.errors import Conflict, NotFound
from models.ids import new_id
from models.repositories.records import columns_of, row_of
from models.session import Database
from models.tables import Template
from models.tenancy import TenantId

_ALL = columns_of(Template)
_INSERT = f"""
    INSERT INTO template (tenant_id, id, name, description, spec, workflow_id, author)
    VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING {_ALL}
"""


class Templates:
    """The table `template`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(
        self,
        tenant: TenantId,
        name: str,
        description: str,
        spec: dict[str, Any],
        *,
        workflow_id: UUID | None = None,
        author: str = "",
    ) -> Template:
        """Raises: Conflict (NAME_TAKEN)."""
        arguments = (tenant.uuid, new_id(), name, description, spec, workflow_id, author)
        try:
            async with self._database.transaction(tenant) as transaction:
                record = await transaction.fetchrow(_INSERT, *arguments)
        except asyncpg.UniqueViolationError:
            message = f"there is a template named {name!r} already"
            raise Conflict(message, code="NAME_TAKEN", details={"name": name}) from None
        assert record is not None
        return row_of(Template, record)

    async def get(self, tenant: TenantId, template_id: UUID) -> Template:
        """Raises: NotFound."""
        query = f"SELECT {_ALL} FROM template WHERE tenant_id = $1 AND id = $2"
        async with self._database.transaction(tenant) as transaction:
            record = await transaction.fetchrow(query, tenant.uuid, template_id)
        if record is None:
            raise NotFound(f"no template {template_id}")
        return row_of(Template, record)

    async def all(self, tenant: TenantId, *, limit: int = 1000) -> list[Template]:
        """The tenant's templates, by name."""
        query = f"SELECT {_ALL} FROM template WHERE tenant_id = $1 ORDER BY name LIMIT $2"
        async with self._database.transaction(tenant) as transaction:
            return [row_of(Template, record) for record in await transaction.fetch(query, tenant.uuid, limit)]

    async def delete(self, tenant: TenantId, template_id: UUID) -> None:
        """Raises: NotFound."""
        query = "DELETE FROM template WHERE tenant_id = $1 AND id = $2 RETURNING id"
        async with self._database.transaction(tenant) as transaction:
            if await transaction.fetchval(query, tenant.uuid, template_id) is None:
                raise NotFound(f"no template {template_id}")
