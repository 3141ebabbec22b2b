"""Sharing links: made, found by their token, counted, revoked."""

from __future__ import annotations

import hashlib
import secrets
from datetime import datetime
from uuid import UUID

from engine.errors import NotFound
from models.ids import new_id
from models.repositories.records import Page, columns_of, page_of, row_of
from models.roles import Role
from models.session import Database
from models.tables import ShareLink
from models.tenancy import TenantId, mint_tenant

PREFIX = "sfs_"
MAX_TOKEN_LENGTH = 100
_ALL = columns_of(ShareLink)
_INSERT = f"""
    INSERT INTO share_link (tenant_id, id, workflow_id, hash, role, note, created_by, expires_at)
    SELECT $1, $2, w.id, $4, $5, $6, $7, $8 FROM workflow w WHERE w.tenant_id = $1 AND w.id = $3 RETURNING {_ALL}
"""
_FIND = f"SELECT {_ALL} FROM share_link WHERE hash = $1 AND revoked_at IS NULL AND expires_at > now()"
_USE = f"""
    UPDATE share_link SET uses = uses + 1, last_used_at = now()
     WHERE tenant_id = $1 AND id = $2 AND revoked_at IS NULL AND expires_at > now() RETURNING {_ALL}
"""
_REVOKE = f"""
    UPDATE share_link SET revoked_at = coalesce(revoked_at, now()) WHERE tenant_id = $1 AND workflow_id = $2 AND id = $3
    RETURNING {_ALL}
"""
_LIST = f"""
    SELECT {_ALL} FROM share_link WHERE tenant_id = $1 AND workflow_id = $2 AND ($3::uuid IS NULL OR id < $3)
     ORDER BY id DESC LIMIT $4
"""


class Shares:
    """The table `share_link`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(
        self, tenant: TenantId, workflow_id: UUID, role: Role, expires_at: datetime, *, note: str, by: str
    ) -> tuple[ShareLink, str]:
        """Make a link; its token is given here and can never be read again. Raises: NotFound."""
        token = PREFIX + secrets.token_urlsafe(32)
        arguments = (tenant.uuid, new_id(), workflow_id, _hash(token), role.value, note, by, expires_at)
        async with self._database.transaction(tenant) as transaction:
            record = await transaction.fetchrow(_INSERT, *arguments)
        if record is None:
            raise NotFound(f"no workflow {workflow_id}")
        return row_of(ShareLink, record), token

    async def use(self, token: str) -> ShareLink | None:
        """The link of this token, its use counted; None if there is none, or it has expired or was revoked."""
        link = await self.find(token)
        if link is None:
            return None
        tenant = mint_tenant(link.tenant_id)
        async with self._database.transaction(tenant) as transaction:
            record = await transaction.fetchrow(_USE, tenant.uuid, link.id)
        return None if record is None else row_of(ShareLink, record)

    async def find(self, token: str) -> ShareLink | None:
        """The same without counting: for one use that lasts."""
        if not token.startswith(PREFIX) or len(token) > MAX_TOKEN_LENGTH:
            return None
        hashed = _hash(token)
        async with self._database.transaction(purpose="sign_in", sign_in=hashed) as transaction:
            record = await transaction.fetchrow(_FIND, hashed)
        return None if record is None else row_of(ShareLink, record)

    async def list(
        self, tenant: TenantId, workflow_id: UUID, *, before: UUID | None = None, limit: int = 50
    ) -> Page[ShareLink]:
        """The links of a workflow, newest first, those that let nobody in any more among them."""
        async with self._database.transaction(tenant) as transaction:
            records = await transaction.fetch(_LIST, tenant.uuid, workflow_id, before, limit + 1)
        return page_of([row_of(ShareLink, record) for record in records], limit)

    async def revoke(self, tenant: TenantId, workflow_id: UUID, share_id: UUID) -> ShareLink:
        """Let nobody in by this link any more; repeating it changes nothing. Raises: NotFound."""
        async with self._database.transaction(tenant) as transaction:
            record = await transaction.fetchrow(_REVOKE, tenant.uuid, workflow_id, share_id)
        if record is None:
            raise NotFound(f"no sharing link {share_id}")
        return row_of(ShareLink, record)


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()
