"""Who an API key belongs to. This is where a request's tenant is minted, and nowhere else in the API."""

from __future__ import annotations

import asyncio
import hmac
import logging
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from engine.errors import StructForgeError, Unauthenticated
from models.repositories.api_keys import PREFIX, ApiKeys, hash_secret
from models.session import Database
from models.tables import ApiKey
from models.tenancy import TenantId, mint_tenant

REMEMBER_S = 5.0  # a revoked key is refused after that at the latest
TOUCH_EVERY_S = 60.0
MAX_REMEMBERED = 10_000
MAX_SECRET_LENGTH = 200
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Identity:
    """An authenticated caller."""

    tenant: TenantId
    key_id: UUID
    key_name: str
    scopes: Sequence[str]


@dataclass(slots=True)
class _Known:
    key: ApiKey
    identity: Identity
    until: float
    touched_at: float


class SignIn:
    """Looks keys up by their hash, and remembers them for `REMEMBER_S`."""

    def __init__(self, database: Database) -> None:
        self._keys = ApiKeys(database)
        self._known: OrderedDict[str, _Known] = OrderedDict()
        self._touches: set[asyncio.Task[None]] = set()

    async def identify(self, secret: str | None) -> Identity:
        """The caller who shows this secret. Raises: Unauthenticated, SystemFault."""
        if not secret:
            raise Unauthenticated("send an API key as Authorization: Bearer sf_... or X-API-Key")
        if not secret.startswith(PREFIX) or len(secret) > MAX_SECRET_LENGTH:
            raise _refused()
        hashed = hash_secret(secret)
        known = self._known.get(hashed)
        if known is None or known.until <= time.monotonic():
            known = await self._look_up(secret, hashed, known)
        if known.key.expires_at is not None and known.key.expires_at <= datetime.now(UTC):
            raise _refused()
        return known.identity

    async def close(self) -> None:
        """Let what was begun end."""
        await asyncio.gather(*self._touches, return_exceptions=True)

    async def _look_up(self, secret: str, hashed: str, old: _Known | None) -> _Known:
        key = await self._keys.find(secret)
        # The row was found by this very hash; comparing again costs nothing and needs no trust in the query.
        if key is None or not hmac.compare_digest(key.hash, hashed):
            self._known.pop(hashed, None)
            raise _refused()
        identity = Identity(mint_tenant(key.tenant_id), key.id, key.name, tuple(key.scopes))
        now = time.monotonic()
        known = _Known(key, identity, now + REMEMBER_S, old.touched_at if old else float("-inf"))
        self._known[hashed] = known
        if len(self._known) > MAX_REMEMBERED:
            self._known.popitem(last=False)
        if now - known.touched_at > TOUCH_EVERY_S:
            known.touched_at = now
            task = asyncio.create_task(self._touch(identity))
            self._touches.add(task)
            task.add_done_callback(self._touches.discard)
        return known

    async def _touch(self, identity: Identity) -> None:
        try:
            await self._keys.touch(identity.tenant, identity.key_id)
        except StructForgeError as error:
            _log.warning("the last use of API key %s was not noted: %s", identity.key_id, error)


def _refused() -> Unauthenticated:
    return Unauthenticated("the API key is not known, or has expired")
