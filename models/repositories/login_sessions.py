"""Logins of people, and the refresh tokens that keep them going.

A refresh token is `sfr_` + family + `.` + secret, 256 random bits each. Each is good once. The family alone finds the
session, so a token that was used before is known for what it is, and ends the session: either its owner or whoever
copied it holds the newer one, and nobody can tell which.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from models.ids import new_id
from models.repositories.api_keys import hash_secret
from models.repositories.memberships import Standing
from models.repositories.records import columns_of, row_of
from models.session import Database
from models.tables import LoginSession
from models.tenancy import TenantId

PREFIX = "sfr_"
_ALL = columns_of(LoginSession)
_FORGET = "DELETE FROM login_session WHERE user_id = $1 AND expires_at < now()"
_INSERT = f"""
    INSERT INTO login_session (tenant_id, id, user_id, family_hash, token_hash, method, expires_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING {_ALL}
"""
_ROTATE = f"""
    UPDATE login_session SET token_hash = $3, refreshed_at = now()
     WHERE family_hash = $1 AND token_hash = $2 AND revoked_at IS NULL AND expires_at > now() RETURNING {_ALL}
"""
_REUSED = """
    UPDATE login_session SET revoked_at = now(), revoked_reason = 'reuse'
     WHERE family_hash = $1 AND token_hash <> $2 AND revoked_at IS NULL RETURNING 1
"""
_END = f"""
    UPDATE login_session SET revoked_at = coalesce(revoked_at, now()), revoked_reason = coalesce(revoked_reason, $2)
     WHERE family_hash = $1 RETURNING {_ALL}
"""
_END_ONE = """
    UPDATE login_session SET revoked_at = now(), revoked_reason = $3
     WHERE user_id = $1 AND id = $2 AND revoked_at IS NULL RETURNING 1
"""
_END_ALL = """
    UPDATE login_session SET revoked_at = now(), revoked_reason = $2
     WHERE user_id = $1 AND revoked_at IS NULL AND ($3::uuid IS NULL OR id <> $3)
"""
_LIVE = """
    SELECT m.role, u.email, u.display_name
      FROM login_session s
      JOIN membership m ON m.tenant_id = s.tenant_id AND m.user_id = s.user_id
      JOIN user_account u ON u.id = s.user_id
     WHERE s.tenant_id = $1 AND s.id = $2 AND s.user_id = $3 AND s.revoked_at IS NULL AND s.expires_at > now()
       AND m.accepted_at IS NOT NULL AND u.disabled_at IS NULL
"""
_OF_USER = f"""
    SELECT {_ALL} FROM login_session WHERE user_id = $1 AND revoked_at IS NULL AND expires_at > now() ORDER BY id DESC
"""


class LoginSessions:
    """The table `login_session`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def open(
        self, tenant: TenantId, user_id: UUID, method: str, expires_at: datetime
    ) -> tuple[LoginSession, str]:
        """Begin a session; its first refresh token is given here alone. Sessions of the person that are over go."""
        family, secret = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
        arguments = (tenant.uuid, new_id(), user_id, hash_secret(family), hash_secret(secret), method, expires_at)
        async with self._database.transaction(tenant, purpose="sign_in", sign_in=str(user_id)) as transaction:
            await transaction.execute(_FORGET, user_id)
            record = await transaction.fetchrow(_INSERT, *arguments)
        assert record is not None
        return row_of(LoginSession, record), f"{PREFIX}{family}.{secret}"

    async def rotate(self, token: str) -> tuple[LoginSession, str] | None:
        """The session and its next token; None if the token is not good. One used before ends its session."""
        family, secret = _halves(token)
        found, fresh = hash_secret(family), secrets.token_urlsafe(32)
        async with self._database.transaction(purpose="sign_in", sign_in=found) as transaction:
            record = await transaction.fetchrow(_ROTATE, found, hash_secret(secret), hash_secret(fresh))
            if record is None:
                await transaction.execute(_REUSED, found, hash_secret(secret))
        return None if record is None else (row_of(LoginSession, record), f"{PREFIX}{family}.{fresh}")

    async def end(self, token: str, reason: str = "logout") -> LoginSession | None:
        """End the session of a token, the newest or not; None if there is none."""
        found = hash_secret(_halves(token)[0])
        async with self._database.transaction(purpose="sign_in", sign_in=found) as transaction:
            record = await transaction.fetchrow(_END, found, reason)
        return None if record is None else row_of(LoginSession, record)

    async def end_one(self, user_id: UUID, session_id: UUID, reason: str = "logout") -> bool:
        """End one session of the person, in whatever tenant; False if there is none."""
        async with self._database.transaction(purpose="sign_in", sign_in=str(user_id)) as transaction:
            return await transaction.fetchval(_END_ONE, user_id, session_id, reason) is not None

    async def end_all(self, user_id: UUID, reason: str, *, but: UUID | None = None) -> None:
        """End every session of the person, `but` one."""
        async with self._database.transaction(purpose="sign_in", sign_in=str(user_id)) as transaction:
            await transaction.execute(_END_ALL, user_id, reason, but)

    async def standing(self, tenant: TenantId, session_id: UUID, user_id: UUID) -> Standing | None:
        """What the person of a session is in its tenant; None if the session, the membership or the account ended."""
        async with self._database.transaction(tenant) as transaction:
            record = await transaction.fetchrow(_LIVE, tenant.uuid, session_id, user_id)
        return None if record is None else Standing(**record)

    async def of_user(self, user_id: UUID) -> Sequence[LoginSession]:
        """The person's sessions that go on, newest first."""
        async with self._database.transaction(purpose="sign_in", sign_in=str(user_id)) as transaction:
            return [row_of(LoginSession, record) for record in await transaction.fetch(_OF_USER, user_id)]


def _halves(token: str) -> tuple[str, str]:
    family, _, secret = token.removeprefix(PREFIX).partition(".")
    return family, secret
