"""Idempotency keys: read and forgotten. They are written with the execution that they lead to."""

from __future__ import annotations

from datetime import timedelta

from models.repositories.records import columns_of, row_of
from models.session import Database
from models.tables import IdempotencyKey
from models.tenancy import TenantId

_ALL = columns_of(IdempotencyKey)


class IdempotencyKeys:
    """The table `idempotency_key`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, tenant: TenantId, kind: str, key: str) -> IdempotencyKey | None:
        query = f"SELECT {_ALL} FROM idempotency_key WHERE tenant_id = $1 AND kind = $2 AND key = $3"
        async with self._database.transaction(tenant) as transaction:
            record = await transaction.fetchrow(query, tenant.uuid, kind, key)
        return None if record is None else row_of(IdempotencyKey, record)

    async def forget(self, older_than: timedelta) -> int:
        """Remove every tenant's keys of that age, for the reconciler alone; how many there were."""
        query = "DELETE FROM idempotency_key WHERE created_at < now() - $1::interval"
        async with self._database.transaction(purpose="reconciler") as transaction:
            return int((await transaction.execute(query, older_than)).rpartition(" ")[2])
