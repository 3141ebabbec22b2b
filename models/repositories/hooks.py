"""Addresses that workflows are called at. They are written by the database, as versions are published."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from models.jsonb import plain_text
from models.repositories.records import columns_of, row_of
from models.session import Database
from models.tables import Hook
from models.tenancy import TenantId

_ALL = columns_of(Hook)
_FIND = "SELECT * FROM find_hooks($1, $2)"


@dataclass(frozen=True, slots=True)
class FoundHook:
    """What an active workflow has at an address; `version` is its published one."""

    tenant_id: UUID
    method: str
    workflow_id: UUID
    node: str
    version: int


class Hooks:
    """The table `hook`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, tenant: str, path: str) -> Sequence[FoundHook]:
        """What is called at a path of a tenant, named by its id or name; by method, and empty whatever is missing.

        One round trip, and nothing is remembered: what is published, paused or archived counts at once.
        """
        async with self._database.connection() as connection:
            return [
                FoundHook(**record) for record in await connection.fetch(_FIND, plain_text(tenant), plain_text(path))
            ]

    async def of_workflow(self, tenant: TenantId, workflow_id: UUID) -> Sequence[Hook]:
        """The addresses of a workflow, by path and method; a paused one has them too."""
        query = f"SELECT {_ALL} FROM hook WHERE tenant_id = $1 AND workflow_id = $2 ORDER BY path, method"
        async with self._database.transaction(tenant) as transaction:
            return [row_of(Hook, record) for record in await transaction.fetch(query, tenant.uuid, workflow_id)]
