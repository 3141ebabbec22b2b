"""Bulk commands by their key: what one chose, and what became of it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from engine.errors import Conflict
from models.repositories.records import columns_of, row_of
from models.session import Database
from models.tables import BulkRequest
from models.tenancy import TenantId

KEPT_FOR = timedelta(days=7)
_ALL = columns_of(BulkRequest)
_FORGET = "DELETE FROM bulk_request WHERE tenant_id = $1 AND created_at < now() - $2::interval"
_CLAIM = f"""
    INSERT INTO bulk_request (tenant_id, key, request_digest, execution_ids) VALUES ($1, $2, $3, $4)
    ON CONFLICT DO NOTHING RETURNING {_ALL}
"""
_FIND = f"SELECT {_ALL} FROM bulk_request WHERE tenant_id = $1 AND key = $2"
_DONE = "UPDATE bulk_request SET results = $3 WHERE tenant_id = $1 AND key = $2"


class BulkRequests:
    """The table `bulk_request`; rows older than `KEPT_FOR` are forgotten."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, tenant: TenantId, key: str, digest: bytes) -> BulkRequest | None:
        """The request that used this key. Raises: Conflict if it asked for something else."""
        async with self._database.transaction(tenant) as transaction:
            record = await transaction.fetchrow(_FIND, tenant.uuid, key)
        return None if record is None else _checked(row_of(BulkRequest, record), digest)

    async def claim(self, tenant: TenantId, key: str, digest: bytes, execution_ids: Sequence[UUID]) -> BulkRequest:
        """Put down what a request chose; if one with this key was faster, that one. Raises: Conflict as `find`."""
        async with self._database.transaction(tenant) as transaction:
            await transaction.execute(_FORGET, tenant.uuid, KEPT_FOR)
            record = await transaction.fetchrow(_CLAIM, tenant.uuid, key, digest, list(execution_ids))
            if record is None:
                record = await transaction.fetchrow(_FIND, tenant.uuid, key)
        if record is None:
            raise Conflict("the idempotency key was released meanwhile: repeat the request")
        return _checked(row_of(BulkRequest, record), digest)

    async def complete(self, tenant: TenantId, key: str, results: Sequence[dict[str, Any]]) -> None:
        """Put down what became of each execution."""
        async with self._database.transaction(tenant) as transaction:
            await transaction.execute(_DONE, tenant.uuid, key, list(results))


def _checked(row: BulkRequest, digest: bytes) -> BulkRequest:
    if row.request_digest != digest:
        raise Conflict(f"the idempotency key {row.key!r} was used for another request: choose a new key")
    return row
