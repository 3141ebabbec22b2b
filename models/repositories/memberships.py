"""Who belongs to a tenant, and in which role."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

import asyncpg

from engine.errors import Conflict, NotFound
from models.repositories.records import Page, columns_of, page_of, row_of
from models.session import Connection, Database
from models.tables import Membership
from models.tenancy import TenantId, mint_tenant

TenantRole = Literal["admin", "member"]

_ALL = columns_of(Membership)
_INVITE = """
    INSERT INTO membership (tenant_id, user_id, role, invitation_hash, invitation_expires_at)
    VALUES ($1, $2, $3, $4, $5)
    ON CONFLICT (tenant_id, user_id) DO UPDATE
       SET role = excluded.role, invitation_hash = excluded.invitation_hash,
           invitation_expires_at = excluded.invitation_expires_at
     WHERE membership.accepted_at IS NULL
    RETURNING 1
"""
_ENSURE = """
    INSERT INTO membership (tenant_id, user_id, role, accepted_at) VALUES ($1, $2, $3, now())
    ON CONFLICT (tenant_id, user_id) DO UPDATE
       SET accepted_at = now(), invitation_hash = NULL, invitation_expires_at = NULL
     WHERE membership.accepted_at IS NULL
"""
_BY_INVITATION = f"SELECT {_ALL} FROM membership WHERE invitation_hash = $1 AND invitation_expires_at > now()"
_ACCEPT = """
    UPDATE membership SET accepted_at = now(), invitation_hash = NULL, invitation_expires_at = NULL
     WHERE tenant_id = $1 AND user_id = $2 AND accepted_at IS NULL AND ($3::text IS NULL OR invitation_hash = $3)
    RETURNING 1
"""
_STANDING = """
    SELECT m.role, u.email, u.display_name FROM membership m JOIN user_account u ON u.id = m.user_id
     WHERE m.tenant_id = $1 AND m.user_id = $2 AND m.accepted_at IS NOT NULL AND u.disabled_at IS NULL
"""
_OF_USER = """
    SELECT m.tenant_id, t.name, m.role, m.accepted_at FROM membership m JOIN tenant t ON t.id = m.tenant_id
     WHERE m.user_id = $1 ORDER BY m.accepted_at, m.tenant_id
"""
_MEMBER = """
    SELECT u.id, u.email, u.display_name, m.role, m.created_at, m.accepted_at, m.invitation_expires_at,
           u.last_login_at, u.disabled_at IS NOT NULL AS disabled
      FROM membership m JOIN user_account u ON u.id = m.user_id WHERE m.tenant_id = $1
"""
_LIST = f"{_MEMBER} AND ($2::uuid IS NULL OR u.id < $2) ORDER BY u.id DESC LIMIT $3"
_GET = f"{_MEMBER} AND m.user_id = $2"
# Locked, so that two administrators who step down at once do it one after the other.
_ADMINS = """
    SELECT m.user_id FROM membership m
     WHERE m.tenant_id = $1 AND m.role = 'admin' AND m.accepted_at IS NOT NULL ORDER BY m.user_id FOR UPDATE
"""
_LEAVE = (
    "DELETE FROM workflow_grant WHERE tenant_id = $1 AND member_id = $2",
    "UPDATE workflow SET owner = '' WHERE tenant_id = $1 AND owner = $2::uuid::text",
    """UPDATE credential SET users = array_remove(users, $2::uuid), owner_id = nullif(owner_id, $2::uuid)
        WHERE tenant_id = $1 AND (owner_id = $2 OR $2 = ANY (users))""",
)


@dataclass(frozen=True, slots=True)
class Standing:
    """What a person is in a tenant at this moment."""

    role: TenantRole
    email: str
    display_name: str


@dataclass(frozen=True, slots=True)
class TenantOfUser:
    """A tenant that a person belongs to, or is invited to (`accepted_at` is None)."""

    tenant_id: UUID
    name: str
    role: TenantRole
    accepted_at: datetime | None


@dataclass(frozen=True, slots=True)
class Member:
    """A person in a tenant; times in UTC."""

    id: UUID
    email: str
    display_name: str
    role: TenantRole
    created_at: datetime
    accepted_at: datetime | None
    invitation_expires_at: datetime | None
    last_login_at: datetime | None
    disabled: bool


class Memberships:
    """The table `membership`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def invite(
        self, tenant: TenantId, user_id: UUID, role: TenantRole, invitation_hash: str, expires_at: datetime
    ) -> None:
        """Offer a membership; a new offer takes the place of one that was not accepted. Raises: Conflict."""
        async with self._database.transaction(tenant) as transaction:
            arguments = (tenant.uuid, user_id, role, invitation_hash, expires_at)
            if await transaction.fetchval(_INVITE, *arguments) is None:
                raise Conflict("this person is a member already", code="ALREADY_A_MEMBER")

    async def ensure(self, tenant: TenantId, user_id: UUID, role: TenantRole) -> None:
        """Make the person a member now; who is one keeps the role there is, offered ones too."""
        async with self._database.transaction(tenant) as transaction:
            await transaction.execute(_ENSURE, tenant.uuid, user_id, role)

    async def of_invitation(self, invitation_hash: str) -> Membership | None:
        """The membership that this secret accepts, before a tenant is known."""
        async with self._database.transaction(purpose="sign_in", sign_in=invitation_hash) as transaction:
            record = await transaction.fetchrow(_BY_INVITATION, invitation_hash)
        return None if record is None else row_of(Membership, record)

    async def accept(self, tenant: TenantId, user_id: UUID, invitation_hash: str | None = None) -> bool:
        """Take up an offer; False if it is gone."""
        async with self._database.transaction(tenant) as transaction:
            return await transaction.fetchval(_ACCEPT, tenant.uuid, user_id, invitation_hash) is not None

    async def standing(self, tenant: TenantId, user_id: UUID) -> Standing | None:
        """What the person is in the tenant; None for nobody of it, and for a disabled account."""
        async with self._database.transaction(tenant) as transaction:
            record = await transaction.fetchrow(_STANDING, tenant.uuid, user_id)
        return None if record is None else Standing(**record)

    async def of_user(self, user_id: UUID) -> Sequence[TenantOfUser]:
        """All tenants of a person, the oldest membership first, offers last."""
        async with self._database.transaction(purpose="sign_in", sign_in=str(user_id)) as transaction:
            return [TenantOfUser(**record) for record in await transaction.fetch(_OF_USER, user_id)]

    async def list(self, tenant: TenantId, *, before: UUID | None, limit: int) -> Page[Member]:
        """Members and people who are invited, newest accounts first."""
        async with self._database.transaction(tenant) as transaction:
            records = await transaction.fetch(_LIST, tenant.uuid, before, limit + 1)
        return page_of([Member(**record) for record in records], limit)

    async def get(self, tenant: TenantId, user_id: UUID) -> Member:
        """Raises: NotFound."""
        async with self._database.transaction(tenant) as transaction:
            return _member(await transaction.fetchrow(_GET, tenant.uuid, user_id), user_id)

    async def change_role(self, tenant: TenantId, user_id: UUID, role: TenantRole) -> Member:
        """Raises: NotFound; Conflict (LAST_ADMIN)."""
        query = "UPDATE membership SET role = $3 WHERE tenant_id = $1 AND user_id = $2"
        async with self._database.transaction(tenant) as transaction:
            if role != "admin":
                await _keep_an_admin(transaction, tenant, user_id)
            await transaction.execute(query, tenant.uuid, user_id, role)
            return _member(await transaction.fetchrow(_GET, tenant.uuid, user_id), user_id)

    async def check_dispensable(self, user_id: UUID) -> None:
        """Raises: Conflict (LAST_ADMIN) if a tenant would be left without an administrator who can sign in."""
        for one in await self.of_user(user_id):
            if one.role == "admin" and one.accepted_at is not None:
                async with self._database.transaction(mint_tenant(one.tenant_id)) as transaction:
                    await _keep_an_admin(transaction, mint_tenant(one.tenant_id), user_id)

    async def remove(self, tenant: TenantId, user_id: UUID) -> None:
        """End a membership, with the person's keys, sessions, roles and rights to credentials here.

        What she made stays: workflows that she alone owned and her credentials pass to the tenant's administrators, and
        what she published goes on. Raises: NotFound; Conflict (LAST_ADMIN).
        """
        async with self._database.transaction(tenant) as transaction:
            await _keep_an_admin(transaction, tenant, user_id)
            ends = "DELETE FROM membership WHERE tenant_id = $1 AND user_id = $2 RETURNING 1"
            if await transaction.fetchval(ends, tenant.uuid, user_id) is None:
                raise _nobody(user_id)
            for table in ("api_key", "login_session"):
                await transaction.execute(
                    f"DELETE FROM {table} WHERE tenant_id = $1 AND user_id = $2", tenant.uuid, user_id
                )
            for statement in _LEAVE:
                await transaction.execute(statement, tenant.uuid, user_id)


async def _keep_an_admin(transaction: Connection, tenant: TenantId, leaving: UUID) -> None:
    admins = [record["user_id"] for record in await transaction.fetch(_ADMINS, tenant.uuid)]
    if admins == [leaving]:
        raise Conflict("a tenant needs an administrator, and this is the last one", code="LAST_ADMIN")


def _member(record: asyncpg.Record | None, user_id: UUID) -> Member:
    if record is None:
        raise _nobody(user_id)
    return Member(**record)


def _nobody(user_id: UUID) -> NotFound:
    return NotFound(f"no member {user_id}")
