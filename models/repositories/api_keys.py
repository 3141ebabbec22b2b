"""API keys: made, found by their secret, revoked."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from engine.errors import NotFound
from models.ids import new_id
from models.jsonb import plain_text
from models.repositories.records import Page, columns_of, page_of, row_of
from models.session import Database
from models.tables import ApiKey
from models.tenancy import TenantId

PREFIX = "sf_"
_ALL = columns_of(ApiKey)
_INSERT = f"""
    INSERT INTO api_key (tenant_id, id, name, hash, scopes, expires_at, user_id, hint)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
    ON CONFLICT (hash) DO NOTHING RETURNING {_ALL}
"""
_FIND = f"SELECT {_ALL} FROM api_key WHERE hash = $1 AND (expires_at IS NULL OR expires_at > now())"
_TOUCH = """
    UPDATE api_key SET last_used_at = now() WHERE tenant_id = $1 AND id = $2
       AND (last_used_at IS NULL OR last_used_at < now() - interval '1 minute')
"""
_LIST = f"""
    SELECT {_ALL} FROM api_key WHERE tenant_id = $1 AND ($2::uuid IS NULL OR user_id = $2)
       AND ($3::uuid IS NULL OR id < $3) ORDER BY id DESC LIMIT $4
"""
_ROTATE = f"UPDATE api_key SET hash = $3, hint = $4 WHERE tenant_id = $1 AND id = $2 RETURNING {_ALL}"
_HINT_LENGTH = len(PREFIX) + 4


def new_secret() -> str:
    """A key of 256 random bits, as its owner writes it."""
    return PREFIX + secrets.token_urlsafe(32)


def hash_secret(secret: str) -> str:
    """What is stored of a key: its SHA-256, hexadecimal. The key is random, so it needs neither salt nor stretching."""
    return hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest()


class ApiKeys:
    """The table `api_key`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(
        self,
        tenant: TenantId,
        name: str,
        *,
        scopes: Sequence[str] = (),
        expires_at: datetime | None = None,
        user_id: UUID | None = None,
    ) -> tuple[ApiKey, str]:
        """Make a key; its secret is given here and can never be read again. It acts for a person if one is given."""
        secret = new_secret()
        made = await self.register(tenant, name, secret, scopes=scopes, expires_at=expires_at, user_id=user_id)
        return made, secret

    async def register(
        self,
        tenant: TenantId,
        name: str,
        secret: str,
        *,
        scopes: Sequence[str] = (),
        expires_at: datetime | None = None,
        user_id: UUID | None = None,
    ) -> ApiKey:
        """Store a secret made elsewhere; registering it again for the same tenant changes nothing.

        Raises: NotFound if another tenant has this secret.
        """
        hashed = hash_secret(secret)
        async with self._database.transaction(tenant) as transaction:
            hint = secret[:_HINT_LENGTH]
            arguments = (tenant.uuid, new_id(), plain_text(name), hashed, list(scopes), expires_at, user_id, hint)
            record = await transaction.fetchrow(_INSERT, *arguments)
            record = record or await transaction.fetchrow(f"SELECT {_ALL} FROM api_key WHERE hash = $1", hashed)
        if record is None:
            raise NotFound("this key belongs to another tenant")
        return row_of(ApiKey, record)

    async def find(self, secret: str) -> ApiKey | None:
        """The key with this secret if it has not expired: the one look-up that is made before a tenant is known."""
        hashed = hash_secret(secret)
        async with self._database.transaction(purpose="sign_in", sign_in=hashed) as transaction:
            record = await transaction.fetchrow(_FIND, hashed)
        return None if record is None else row_of(ApiKey, record)

    async def touch(self, tenant: TenantId, key_id: UUID) -> None:
        """Note that the key was used, once a minute at most."""
        async with self._database.transaction(tenant) as transaction:
            await transaction.execute(_TOUCH, tenant.uuid, key_id)

    async def list(self, tenant: TenantId) -> Sequence[ApiKey]:
        """The tenant's keys, newest first."""
        query = f"SELECT {_ALL} FROM api_key WHERE tenant_id = $1 ORDER BY id DESC"
        async with self._database.transaction(tenant) as transaction:
            return [row_of(ApiKey, record) for record in await transaction.fetch(query, tenant.uuid)]

    async def page(
        self, tenant: TenantId, *, user_id: UUID | None = None, before: UUID | None = None, limit: int = 50
    ) -> Page[ApiKey]:
        """Keys of the tenant or of one person in it, newest first."""
        async with self._database.transaction(tenant) as transaction:
            records = await transaction.fetch(_LIST, tenant.uuid, user_id, before, limit + 1)
        return page_of([row_of(ApiKey, record) for record in records], limit)

    async def get(self, tenant: TenantId, key_id: UUID) -> ApiKey:
        """Raises: NotFound."""
        query = f"SELECT {_ALL} FROM api_key WHERE tenant_id = $1 AND id = $2"
        async with self._database.transaction(tenant) as transaction:
            record = await transaction.fetchrow(query, tenant.uuid, key_id)
        if record is None:
            raise NotFound(f"no API key {key_id}")
        return row_of(ApiKey, record)

    async def rotate(self, tenant: TenantId, key_id: UUID) -> tuple[ApiKey, str]:
        """Give the key a new secret; the old one is good for nothing from now on. Raises: NotFound."""
        secret = new_secret()
        async with self._database.transaction(tenant) as transaction:
            arguments = (tenant.uuid, key_id, hash_secret(secret), secret[:_HINT_LENGTH])
            record = await transaction.fetchrow(_ROTATE, *arguments)
        if record is None:
            raise NotFound(f"no API key {key_id}")
        return row_of(ApiKey, record), secret

    async def revoke(self, tenant: TenantId, key_id: UUID) -> bool:
        """Remove a key; False if there is none."""
        query = "DELETE FROM api_key WHERE tenant_id = $1 AND id = $2 RETURNING 1"
        async with self._database.transaction(tenant) as transaction:
            return await transaction.fetchval(query, tenant.uuid, key_id) is not None
