"""Grants: who has which role on which workflow, and what a list may show to whom."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import asyncpg

from engine.errors import Conflict, NotFound
from models.roles import Role
from models.session import Connection, Database
from models.tenancy import TenantId

ALL_MEMBERS = UUID(int=0)
_LIST = """
    SELECT g.member_id, a.email, a.display_name, g.role, g.granted_by, g.created_at
      FROM workflow_grant g LEFT JOIN user_account a ON a.id = g.member_id WHERE g.tenant_id = $1 AND g.workflow_id = $2
"""
_PUT = """
    INSERT INTO workflow_grant AS g (tenant_id, workflow_id, member_id, role, granted_by) VALUES ($1, $2, $3, $4, $5)
    ON CONFLICT (tenant_id, workflow_id, member_id) DO UPDATE
        SET role = excluded.role, granted_by = excluded.granted_by, created_at = now()
"""
_OWNER = "UPDATE workflow SET owner = $3, updated_at = now() WHERE tenant_id = $1 AND id = $2"
_SEEN = (
    "{column} IN (SELECT g.workflow_id FROM workflow_grant g WHERE g.tenant_id = $1"
    f" AND g.member_id IN (${{{{}}}}, '{ALL_MEMBERS}'))"
)


@dataclass(frozen=True, slots=True)
class Sight:
    """Whose eyes a list is for: `member` sees workflows with a grant, `workflow` that one alone, neither sees all."""

    member: UUID | None = None
    workflow: UUID | None = None

    def condition(self, column: str) -> tuple[str, UUID | None]:
        """An SQL condition on a column of workflow ids, and what stands for its parameter; None if all is seen.

        `${}` in it is where the parameter's number goes; `$1` is the tenant.
        """
        if self.workflow is not None:
            return f"{column} = ${{}}", self.workflow
        return _SEEN.format(column=column), self.member


EVERYTHING = Sight()


@dataclass(frozen=True, slots=True)
class Granted:
    """A grant with the person's name and address; `member_id` of zeros, without either, is all members."""

    member_id: UUID
    email: str | None
    display_name: str | None
    role: Role
    granted_by: str
    created_at: datetime


class Grants:
    """The table `workflow_grant`. The grant of a workflow's maker comes with the workflow, from PostgreSQL itself."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def role(self, tenant: TenantId, workflow_id: UUID, member: UUID) -> Role | None:
        """The greatest role that a person has on a workflow; None if none, or if there is no such workflow."""
        async with self._database.connection() as connection:
            query = "SELECT role_on_workflow($1, $2, $3)"
            rank = await connection.fetchval(query, tenant.uuid, workflow_id, member)
        return None if rank is None else Role.of_rank(rank)

    async def only_reads(self, tenant: TenantId, member: UUID) -> bool:
        """Whether the person has roles, and none of them changes anything. Who has none yet is not meant."""
        query = f"""SELECT coalesce(max(role_rank(role)) < $3, false) FROM workflow_grant
                     WHERE tenant_id = $1 AND member_id IN ($2, '{ALL_MEMBERS}')"""
        async with self._database.transaction(tenant) as transaction:
            return bool(await transaction.fetchval(query, tenant.uuid, member, Role.EDITOR.rank))

    async def role_on_execution(
        self, tenant: TenantId, execution_id: UUID, member: UUID
    ) -> tuple[UUID, Role | None] | None:
        """An execution's workflow and a person's role on it; None if there is no such execution."""
        async with self._database.connection() as connection:
            query = "SELECT workflow, rank FROM role_on_execution($1, $2, $3)"
            record = await connection.fetchrow(query, tenant.uuid, execution_id, member)
        if record is None or record["workflow"] is None:
            return None
        return record["workflow"], None if record["rank"] is None else Role.of_rank(record["rank"])

    async def list(self, tenant: TenantId, workflow_id: UUID) -> Sequence[Granted]:
        """The grants of a workflow, oldest first."""
        async with self._database.transaction(tenant) as transaction:
            records = await transaction.fetch(f"{_LIST} ORDER BY g.created_at, g.member_id", tenant.uuid, workflow_id)
        return [_granted(record) for record in records]

    async def put(
        self, tenant: TenantId, workflow_id: UUID, member: UUID, role: Role, *, by: str
    ) -> tuple[Granted, Role | None]:
        """Give a role, in place of the one before, which is returned too.

        Raises: NotFound if the workflow or the member is not there; Conflict (LAST_OWNER) if it were its last owner's.
        """
        async with self._database.transaction(tenant) as transaction:
            held = await _held(transaction, tenant, workflow_id)
            await _check_member(transaction, tenant, member)
            _check_owner_left(held, member, role)
            await _put(transaction, tenant, workflow_id, member, role, by)
            await _name_owner(transaction, tenant, workflow_id, {**held, member: role})
            record = await transaction.fetchrow(f"{_LIST} AND g.member_id = $3", tenant.uuid, workflow_id, member)
        assert record is not None
        return _granted(record), held.get(member)

    async def remove(self, tenant: TenantId, workflow_id: UUID, member: UUID) -> Role:
        """Take a grant back; the role that it was. Raises: NotFound; Conflict (LAST_OWNER)."""
        query = "DELETE FROM workflow_grant WHERE tenant_id = $1 AND workflow_id = $2 AND member_id = $3"
        async with self._database.transaction(tenant) as transaction:
            held = await _held(transaction, tenant, workflow_id)
            if member not in held:
                raise NotFound("there is no such grant")
            _check_owner_left(held, member, None)
            await transaction.execute(query, tenant.uuid, workflow_id, member)
            await _name_owner(
                transaction, tenant, workflow_id, {one: role for one, role in held.items() if one != member}
            )
        return held[member]

    async def transfer(self, tenant: TenantId, workflow_id: UUID, member: UUID, *, by: str) -> Sequence[UUID]:
        """Make a person the workflow's one owner; those who were stay as editors and are returned. Raises: NotFound."""
        async with self._database.transaction(tenant) as transaction:
            held = await _held(transaction, tenant, workflow_id)
            await _check_member(transaction, tenant, member)
            former = [one for one, role in held.items() if role is Role.OWNER and one != member]
            for one in former:
                await _put(transaction, tenant, workflow_id, one, Role.EDITOR, by)
            await _put(transaction, tenant, workflow_id, member, Role.OWNER, by)
            await transaction.execute(_OWNER, tenant.uuid, workflow_id, str(member))
        return former


async def _held(transaction: Connection, tenant: TenantId, workflow_id: UUID) -> dict[UUID, Role]:
    """Who has which role, oldest first. The workflow is locked, lest its last two owners both leave at once."""
    lock = "SELECT 1 FROM workflow WHERE tenant_id = $1 AND id = $2 FOR UPDATE"
    if await transaction.fetchval(lock, tenant.uuid, workflow_id) is None:
        raise NotFound(f"no workflow {workflow_id}")
    query = """SELECT member_id, role FROM workflow_grant WHERE tenant_id = $1 AND workflow_id = $2
                ORDER BY created_at, member_id"""
    records = await transaction.fetch(query, tenant.uuid, workflow_id)
    return {record["member_id"]: Role(record["role"]) for record in records}


async def _check_member(transaction: Connection, tenant: TenantId, member: UUID) -> None:
    """Raises: NotFound. Who is invited counts: the grant gives nothing before the invitation is accepted."""
    query = "SELECT 1 FROM membership WHERE tenant_id = $1 AND user_id = $2"
    if member != ALL_MEMBERS and await transaction.fetchval(query, tenant.uuid, member) is None:
        raise NotFound(f"no member {member} in this tenant")


def _check_owner_left(held: dict[UUID, Role], member: UUID, role: Role | None) -> None:
    """Raises: Conflict (LAST_OWNER). A workflow that never had an owner of its own is the tenant administrators'."""
    others = any(one is Role.OWNER for other, one in held.items() if other != member)
    if held.get(member) is Role.OWNER and role is not Role.OWNER and not others:
        raise Conflict("this is the workflow's last owner: make somebody else one first", code="LAST_OWNER")


async def _put(transaction: Connection, tenant: TenantId, workflow_id: UUID, member: UUID, role: Role, by: str) -> None:
    await transaction.execute(_PUT, tenant.uuid, workflow_id, member, role.value, by)


def _granted(record: asyncpg.Record) -> Granted:
    return Granted(
        record["member_id"],
        record["email"],
        record["display_name"],
        Role(record["role"]),
        record["granted_by"],
        record["created_at"],
    )


async def _name_owner(transaction: Connection, tenant: TenantId, workflow_id: UUID, held: dict[UUID, Role]) -> None:
    """Write the first of the owners into the workflow's row if the one that stands there is none any more."""
    owners = [str(one) for one, role in held.items() if role is Role.OWNER]
    query = "SELECT owner FROM workflow WHERE tenant_id = $1 AND id = $2"
    if owners and await transaction.fetchval(query, tenant.uuid, workflow_id) not in owners:
        await transaction.execute(_OWNER, tenant.uuid, workflow_id, owners[0])
