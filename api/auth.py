"""Whose an API key or an access token is. A request's tenant is minted here, by those who sign in, and nowhere else."""

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

from api.authentication.tokens import Tokens
from engine.errors import StructForgeError, Unauthenticated
from models.repositories.api_keys import PREFIX, ApiKeys, hash_secret
from models.repositories.login_sessions import LoginSessions
from models.repositories.memberships import Memberships, TenantRole
from models.roles import Role
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
    """An authenticated caller.

    A person has a `user_id`, whether it is she herself, with an access token, or one of her API keys. With a token,
    `key_id` is her login and `key_name` her address. A visitor by a sharing link is no person; `key_id` and `key_name`
    are then the link's.
    """

    tenant: TenantId
    key_id: UUID
    key_name: str
    scopes: Sequence[str]
    user_id: UUID | None = None  # None for a key that belongs to no person
    tenant_role: TenantRole = "member"
    share: Share | None = None
    email: str = ""  # of the person
    session_id: UUID | None = None  # the login of an access token

    @property
    def is_person(self) -> bool:
        """Whether a person is here herself, not one of her keys."""
        return self.session_id is not None


@dataclass(frozen=True, slots=True)
class Share:
    """What a visitor by a sharing link may see: one workflow, in one role."""

    workflow_id: UUID
    role: Role


@dataclass(slots=True)
class _Known:
    expires_at: datetime | None
    identity: Identity
    until: float
    touched_at: float


class SignIn:
    """Looks keys and logins up, and remembers them for `REMEMBER_S`."""

    def __init__(self, database: Database, tokens: Tokens | None = None) -> None:
        self._keys = ApiKeys(database)
        self._members = Memberships(database)
        self._sessions = LoginSessions(database)
        self._tokens = tokens
        self._known: OrderedDict[str, _Known] = OrderedDict()
        self._touches: set[asyncio.Task[None]] = set()

    async def identify(self, secret: str | None) -> Identity:
        """The caller who shows this secret. Raises: Unauthenticated, SystemFault."""
        if not secret:
            raise Unauthenticated("send an API key as Authorization: Bearer sf_... or X-API-Key, or an access token")
        if self._tokens is not None and not secret.startswith(PREFIX) and secret.count(".") == 2:
            return await self._person(secret, self._tokens)
        if not secret.startswith(PREFIX) or len(secret) > MAX_SECRET_LENGTH:
            raise _refused()
        hashed = hash_secret(secret)
        known = self._known.get(hashed)
        if known is None or known.until <= time.monotonic():
            known = await self._look_up(secret, hashed, known)
        if known.expires_at is not None and known.expires_at <= datetime.now(UTC):
            raise _refused()
        return known.identity

    def forget(self) -> None:
        """Ask the record again about everybody: something about a key, a login or a person has changed."""
        for known in self._known.values():
            known.until = 0.0

    async def close(self) -> None:
        """Let what was begun end."""
        await asyncio.gather(*self._touches, return_exceptions=True)

    async def _look_up(self, secret: str, hashed: str, old: _Known | None) -> _Known:
        key = await self._keys.find(secret)
        # The row was found by this very hash; comparing again costs nothing and needs no trust in the query.
        if key is None or not hmac.compare_digest(key.hash, hashed):
            self._known.pop(hashed, None)
            raise _refused()
        identity = await self._owner_of(key)
        now = time.monotonic()
        known = _Known(key.expires_at, identity, now + REMEMBER_S, old.touched_at if old else float("-inf"))
        self._remember(hashed, known)
        if now - known.touched_at > TOUCH_EVERY_S:
            known.touched_at = now
            task = asyncio.create_task(self._touch(identity))
            self._touches.add(task)
            task.add_done_callback(self._touches.discard)
        return known

    async def _owner_of(self, key: ApiKey) -> Identity:
        tenant, scopes = mint_tenant(key.tenant_id), tuple(key.scopes)
        if key.user_id is None:
            return Identity(tenant, key.id, key.name, scopes, tenant_role="admin" if "*" in scopes else "member")
        standing = await self._members.standing(tenant, key.user_id)
        if standing is None:
            raise _refused()
        return Identity(tenant, key.id, key.name, scopes, key.user_id, tenant_role=standing.role, email=standing.email)

    async def _person(self, token: str, tokens: Tokens) -> Identity:
        """Who signed in. The token is checked each time, what the record says of its session is remembered."""
        claims = tokens.read(token)
        place = f"{claims.tenant_id}/{claims.session_id}/{claims.user_id}"
        known = self._known.get(place)
        if known is not None and known.until > time.monotonic():
            return known.identity
        tenant = mint_tenant(claims.tenant_id)
        standing = await self._sessions.standing(tenant, claims.session_id, claims.user_id)
        if standing is None:
            self._known.pop(place, None)
            raise Unauthenticated("this login has ended")
        identity = Identity(
            tenant,
            claims.session_id,
            standing.email,
            ("*",),
            claims.user_id,
            tenant_role=standing.role,
            email=standing.email,
            session_id=claims.session_id,
        )
        self._remember(place, _Known(None, identity, time.monotonic() + REMEMBER_S, 0.0))
        return identity

    def _remember(self, place: str, known: _Known) -> None:
        self._known[place] = known
        if len(self._known) > MAX_REMEMBERED:
            self._known.popitem(last=False)

    async def _touch(self, identity: Identity) -> None:
        try:
            await self._keys.touch(identity.tenant, identity.key_id)
        except StructForgeError as error:
            _log.warning("the last use of API key %s was not noted: %s", identity.key_id, error)


def _refused() -> Unauthenticated:
    return Unauthenticated("the API key is not known, or has expired")
