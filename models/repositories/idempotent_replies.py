"""Replies under a key: claimed, kept and found again. The claim stands in the transaction of the change itself."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from datetime import timedelta
from uuid import UUID

from models.repositories.records import columns_of, row_of
from models.session import Database
from models.tables import IdempotentReply
from models.tenancy import TenantId

KEPT_FOR = timedelta(days=7)
_ALL = columns_of(IdempotentReply)
_CLAIM = """
    INSERT INTO idempotent_reply (tenant_id, actor_id, key_hash, request_digest) VALUES ($1, $2, $3, $4)
    ON CONFLICT DO NOTHING RETURNING 1
"""
_FIND = f"SELECT {_ALL} FROM idempotent_reply WHERE tenant_id = $1 AND actor_id = $2 AND key_hash = $3"
_KEEP = """
    UPDATE idempotent_reply SET status = $4, headers = $5, body = $6
     WHERE tenant_id = $1 AND actor_id = $2 AND key_hash = $3
"""
# Rows that another transaction is removing, or is still writing, are left to it.
_FORGET = """
    DELETE FROM idempotent_reply WHERE ctid IN (SELECT ctid FROM idempotent_reply
        WHERE tenant_id = $1 AND created_at < now() - $2::interval LIMIT 100 FOR UPDATE SKIP LOCKED)
"""


class IdempotentReplies:
    """The table `idempotent_reply`; rows older than `KEPT_FOR` are forgotten."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def claim(self, tenant: TenantId, actor: UUID, key_hash: bytes, digest: bytes) -> IdempotentReply | None:
        """None if the key is the caller's from now on; else the reply that it stands for.

        Waits for a transaction that has claimed the same key; what that one rolls back is free again.
        """
        async with self._database.transaction(tenant) as transaction:
            await transaction.execute(_FORGET, tenant.uuid, KEPT_FOR)
            while not await transaction.fetchval(_CLAIM, tenant.uuid, actor, key_hash, digest):
                record = await transaction.fetchrow(_FIND, tenant.uuid, actor, key_hash)
                if record is not None:  # else it was forgotten between the two
                    return row_of(IdempotentReply, record)
        return None

    async def keep(
        self,
        tenant: TenantId,
        actor: UUID,
        key_hash: bytes,
        status: int,
        headers: Mapping[str, str],
        body: bytes | None,
    ) -> None:
        """Put down the reply; without a body, only that there was one."""
        packed = None if body is None else zlib.compress(body, 1)
        async with self._database.transaction(tenant) as transaction:
            await transaction.execute(_KEEP, tenant.uuid, actor, key_hash, status, dict(headers), packed)


def body_of(reply: IdempotentReply) -> bytes | None:
    """The reply's body as it was sent; None if it was for once."""
    return None if reply.body is None else zlib.decompress(reply.body)
