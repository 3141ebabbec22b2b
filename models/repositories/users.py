"""Accounts of people, of the whole installation.

Nothing here lists accounts: each call shows the address or the id of the one account that it is about.
"""

from __future__ import annotations

from uuid import UUID

import asyncpg

from engine.errors import Conflict
from models.ids import new_id
from models.jsonb import plain_text
from models.repositories.records import columns_of, row_of
from models.session import Connection, Database
from models.tables import UserAccount

_ALL = columns_of(UserAccount)
_INSERT = f"""
    INSERT INTO user_account (id, email, display_name, email_verified) VALUES ($1, $2, $3, $4)
    ON CONFLICT (email) DO NOTHING RETURNING {_ALL}
"""
_BY_EMAIL = f"SELECT {_ALL} FROM user_account WHERE email = $1"
_BY_ID = f"SELECT {_ALL} FROM user_account WHERE id = $1"
_CHANGE_HASH = """
    UPDATE user_account SET password_hash = $2, password_changed_at = now()
     WHERE id = $1 AND password_hash IS NOT DISTINCT FROM $3
"""
_BY_PROVIDER = "SELECT user_id FROM oidc_identity WHERE issuer = $1 AND subject = $2"
_LINK = "INSERT INTO oidc_identity (issuer, subject, user_id) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING"
_VERIFY = """
    UPDATE user_account SET email_verified = true, password_hash = NULL WHERE id = $1 AND NOT email_verified RETURNING 1
"""


def plain_email(email: str) -> str:
    """An address as it is stored and compared."""
    return (plain_text(email) or "").strip().lower()


class Users:
    """The tables `user_account` and `oidc_identity`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def ensure(self, email: str, display_name: str = "", *, verified: bool = False) -> tuple[UserAccount, bool]:
        """The account of an address, and whether it was made now, without a password."""
        address, name = plain_email(email), plain_text(display_name)
        async with self._database.transaction(purpose="sign_in", sign_in=address) as transaction:
            record = await transaction.fetchrow(_BY_EMAIL, address)
            made = None if record else await transaction.fetchrow(_INSERT, new_id(), address, name, verified)
            found = record or made or await transaction.fetchrow(_BY_EMAIL, address)
        assert found is not None
        return row_of(UserAccount, found), made is not None

    async def find(self, email: str) -> UserAccount | None:
        """The account of an address."""
        address = plain_email(email)
        async with self._database.transaction(purpose="sign_in", sign_in=address) as transaction:
            record = await transaction.fetchrow(_BY_EMAIL, address)
        return None if record is None else row_of(UserAccount, record)

    async def get(self, user_id: UUID) -> UserAccount | None:
        """The account of an id."""
        async with self._database.transaction(purpose="sign_in", sign_in=str(user_id)) as transaction:
            record = await transaction.fetchrow(_BY_ID, user_id)
        return None if record is None else row_of(UserAccount, record)

    async def change_password(self, user_id: UUID, new_hash: str, *, old_hash: str | None) -> bool:
        """Set the hash if it is still `old_hash`: False if somebody else changed it meanwhile."""
        async with self._database.transaction(purpose="sign_in", sign_in=str(user_id)) as transaction:
            return await transaction.execute(_CHANGE_HASH, user_id, new_hash, old_hash) == "UPDATE 1"

    async def set_password(self, user_id: UUID, new_hash: str) -> None:
        """Set the hash, whatever it was: for the operator, who vouches for the address by it."""
        query = """UPDATE user_account SET password_hash = $2, password_changed_at = now(), email_verified = true
                    WHERE id = $1"""
        await self._change(query, user_id, new_hash)

    async def rename(self, user_id: UUID, display_name: str) -> None:
        query = "UPDATE user_account SET display_name = $2 WHERE id = $1"
        await self._change(query, user_id, plain_text(display_name))

    async def change_email(self, user_id: UUID, email: str) -> None:
        """Give the account another address, which nobody has vouched for yet. Raises: Conflict (EMAIL_TAKEN)."""
        query = "UPDATE user_account SET email = $2, email_verified = false WHERE id = $1"
        try:
            await self._change(query, user_id, plain_email(email))
        except asyncpg.UniqueViolationError:
            raise Conflict("this address belongs to an account already", code="EMAIL_TAKEN") from None

    async def set_disabled(self, user_id: UUID, disabled: bool) -> None:
        """Shut the account out everywhere, or let it in again."""
        query = "UPDATE user_account SET disabled_at = CASE WHEN $2 THEN coalesce(disabled_at, now()) END WHERE id = $1"
        await self._change(query, user_id, disabled)

    async def note_login(self, user_id: UUID) -> None:
        await self._change("UPDATE user_account SET last_login_at = now() WHERE id = $1 AND $2", user_id, True)

    async def of_provider(self, issuer: str, subject: str) -> UUID | None:
        """Whose account a provider's subject is."""
        async with self._database.transaction(purpose="sign_in", sign_in=f"{issuer} {subject}") as transaction:
            return await transaction.fetchval(_BY_PROVIDER, issuer, subject)

    async def link(self, issuer: str, subject: str, user_id: UUID) -> bool:
        """Join a provider's subject to an account; whether a password was dropped.

        An account whose address nobody had vouched for may have been made by somebody else with this address in mind,
        so its password goes.
        """
        async with self._database.transaction(purpose="sign_in", sign_in=f"{issuer} {subject}") as transaction:
            await transaction.execute(_LINK, issuer, subject, user_id)
            await _show(transaction, str(user_id))
            return await transaction.fetchval(_VERIFY, user_id) is not None

    async def _change(self, query: str, user_id: UUID, value: object) -> None:
        async with self._database.transaction(purpose="sign_in", sign_in=str(user_id)) as transaction:
            await transaction.execute(query, user_id, value)


async def _show(transaction: Connection, secret: str) -> None:
    """Let the rest of the transaction see what the sign-in policies show to this text."""
    await transaction.execute("SELECT set_config('structforge.sign_in', $1, true)", secret)
