"""Credentials of a tenant. Secrets come and go sealed: nothing here can read one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID

import asyncpg

from engine.errors import Conflict, NotFound
from models.repositories.records import Page, columns_of, page_of, row_of
from models.sealing import Binding, Sealed
from models.session import Database
from models.tables import Credential
from models.tenancy import TenantId

_ALL = columns_of(Credential)
_INSERT = f"""
    INSERT INTO credential (tenant_id, id, name, type, description, allowed_hosts, owner_id, users, for_all_members,
                            version, key_id, wrapped_key, ciphertext)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 1, $10, $11, $12) RETURNING {_ALL}
"""
_REPLACE = f"""
    UPDATE credential SET allowed_hosts = $4, key_id = $5, wrapped_key = $6, ciphertext = $7, version = version + 1,
           updated_at = now()
     WHERE tenant_id = $1 AND id = $2 AND version = $3 RETURNING {_ALL}
"""
_DESCRIBE = f"""
    UPDATE credential SET description = coalesce($3, description), for_all_members = coalesce($4, for_all_members),
           users = coalesce($5, users), owner_id = coalesce($6, owner_id), updated_at = now()
     WHERE tenant_id = $1 AND id = $2 RETURNING {_ALL}
"""
_GET = f"SELECT {_ALL} FROM credential WHERE tenant_id = $1 AND id = $2"
_NAMED = f"SELECT {_ALL} FROM credential WHERE tenant_id = $1 AND name = ANY ($2)"
# `$4`: all of them, else those that the person `$5` may use.
_LIST = f"""
    SELECT {_ALL} FROM credential
     WHERE tenant_id = $1 AND ($2::uuid IS NULL OR id < $2)
       AND ($4 OR for_all_members OR owner_id = $5 OR $5 = ANY (users))
     ORDER BY id DESC LIMIT $3
"""
_DELETE = "DELETE FROM credential WHERE tenant_id = $1 AND id = $2 RETURNING 1"
_USES = """
    SELECT DISTINCT u.name, w.id, w.name AS workflow_name, v.number, v.number = w.published_version AS published
      FROM credential_use u
      JOIN workflow_version v ON v.tenant_id = u.tenant_id AND v.id = u.version_id
      JOIN workflow w ON w.tenant_id = v.tenant_id AND w.id = v.workflow_id
     WHERE u.tenant_id = $1 AND u.name = ANY ($2) AND w.status <> 'archived'
       AND v.number IN (w.published_version, w.latest_version)
     ORDER BY w.name, v.number
"""
_NAMED_BY_ANY = """
    SELECT DISTINCT w.id, w.name FROM credential_use u
      JOIN workflow_version v ON v.tenant_id = u.tenant_id AND v.id = u.version_id
      JOIN workflow w ON w.tenant_id = v.tenant_id AND w.id = v.workflow_id
     WHERE u.tenant_id = $1 AND u.name = $2 ORDER BY w.name LIMIT 50
"""
_DENIED = """
    SELECT c.name FROM credential_use u JOIN credential c ON c.tenant_id = u.tenant_id AND c.name = u.name
     WHERE u.tenant_id = $1 AND u.version_id = $2
       AND NOT (c.for_all_members OR c.owner_id IS NOT DISTINCT FROM $3 OR $3 = ANY (c.users))
     ORDER BY c.name
"""
_MODELS = "SELECT credential, name FROM ai_model WHERE tenant_id = $1 AND credential = ANY ($2) ORDER BY name"
_WRAPPED_BY_OTHERS = f"""
    SELECT {_ALL} FROM credential WHERE key_id <> $1 AND NOT id = ANY ($3) ORDER BY tenant_id, id LIMIT $2
"""
_REWRAP = """
    UPDATE credential SET key_id = $4, wrapped_key = $5
     WHERE tenant_id = $1 AND id = $2 AND version = $3 AND key_id = $6 RETURNING 1
"""
_KEY_IDS = "SELECT key_id, count(*) FROM credential GROUP BY 1 ORDER BY 1"


@dataclass(frozen=True, slots=True, kw_only=True)
class NewCredential:
    """What a credential is beside its secret."""

    id: UUID
    name: str
    type: str
    description: str = ""
    allowed_hosts: Sequence[str] = ()
    owner_id: UUID | None = None
    users: Sequence[UUID] = ()
    for_all_members: bool = True


@dataclass(frozen=True, slots=True)
class Uses:
    """Who names a credential: versions of workflows that are published or the latest, and AI models."""

    workflows: list[WorkflowUse] = field(default_factory=list["WorkflowUse"])
    models: list[str] = field(default_factory=list[str])

    @property
    def published(self) -> list[WorkflowUse]:
        return [use for use in self.workflows if use.published]


@dataclass(frozen=True, slots=True)
class WorkflowUse:
    id: UUID
    name: str
    version: int
    published: bool


def binding_of(row: Credential) -> Binding:
    """What the row's secret must have been sealed for."""
    return Binding(row.tenant_id, row.id, row.version, row.type, tuple(row.allowed_hosts))


def sealed_of(row: Credential) -> Sealed:
    return Sealed(row.key_id, row.wrapped_key, row.ciphertext)


class Credentials:
    """The tables `credential` and `credential_use`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(self, tenant: TenantId, new: NewCredential, sealed: Sealed) -> Credential:
        """Version 1. Raises: Conflict (NAME_TAKEN)."""
        parts = (new.id, new.name, new.type, new.description, list(new.allowed_hosts), new.owner_id, list(new.users))
        secret = (sealed.key_id, sealed.wrapped_key, sealed.ciphertext)
        try:
            async with self._database.transaction(tenant) as transaction:
                record = await transaction.fetchrow(_INSERT, tenant.uuid, *parts, new.for_all_members, *secret)
        except asyncpg.UniqueViolationError:
            message = f"another credential is called {new.name!r}"
            raise Conflict(message, code="NAME_TAKEN", details={"name": new.name}) from None
        return row_of(Credential, _found(record, new.id))

    async def replace(self, tenant: TenantId, row: Credential, hosts: Sequence[str], sealed: Sealed) -> Credential:
        """Put another secret in place of that of `row`, as its next version.

        Raises: Conflict (VERSION_CONFLICT) if it has been replaced or deleted meanwhile.
        """
        secret = (sealed.key_id, sealed.wrapped_key, sealed.ciphertext)
        async with self._database.transaction(tenant) as transaction:
            record = await transaction.fetchrow(_REPLACE, tenant.uuid, row.id, row.version, list(hosts), *secret)
        if record is None:
            message = f"the credential {row.name!r} was replaced or deleted meanwhile"
            raise Conflict(message, code="VERSION_CONFLICT", details={"version": row.version})
        return row_of(Credential, record)

    async def describe(
        self,
        tenant: TenantId,
        credential_id: UUID,
        *,
        description: str | None = None,
        for_all_members: bool | None = None,
        users: Sequence[UUID] | None = None,
        owner_id: UUID | None = None,
    ) -> Credential:
        """Change what is given of it; the secret and its version stay. Raises: NotFound."""
        people = None if users is None else list(users)
        async with self._database.transaction(tenant) as transaction:
            record = await transaction.fetchrow(
                _DESCRIBE, tenant.uuid, credential_id, description, for_all_members, people, owner_id
            )
        return row_of(Credential, _found(record, credential_id))

    async def get(self, tenant: TenantId, credential_id: UUID) -> Credential:
        """Raises: NotFound."""
        async with self._database.transaction(tenant) as transaction:
            record = await transaction.fetchrow(_GET, tenant.uuid, credential_id)
        return row_of(Credential, _found(record, credential_id))

    async def named(self, tenant: TenantId, names: Sequence[str]) -> dict[str, Credential]:
        """Those of the named credentials that there are."""
        async with self._database.transaction(tenant) as transaction:
            records = await transaction.fetch(_NAMED, tenant.uuid, list(names))
        return {record["name"]: row_of(Credential, record) for record in records}

    async def list(
        self,
        tenant: TenantId,
        *,
        usable_by: UUID | None = None,
        everything: bool = False,
        before: UUID | None = None,
        limit: int = 50,
    ) -> Page[Credential]:
        """Newest first: those that a person may use, or all of the tenant's."""
        async with self._database.transaction(tenant) as transaction:
            records = await transaction.fetch(_LIST, tenant.uuid, before, limit + 1, everything, usable_by)
        return page_of([row_of(Credential, record) for record in records], limit)

    async def delete(self, tenant: TenantId, credential_id: UUID) -> None:
        """Raises: NotFound."""
        async with self._database.transaction(tenant) as transaction:
            _found(await transaction.fetchrow(_DELETE, tenant.uuid, credential_id), credential_id)

    async def uses(self, tenant: TenantId, names: Sequence[str]) -> dict[str, Uses]:
        """Who names each of the credentials; archived workflows and older versions are left out."""
        found = {name: Uses() for name in names}
        async with self._database.transaction(tenant) as transaction:
            for record in await transaction.fetch(_USES, tenant.uuid, list(names)):
                use = WorkflowUse(record["id"], record["workflow_name"], record["number"], bool(record["published"]))
                found[record["name"]].workflows.append(use)
            for record in await transaction.fetch(_MODELS, tenant.uuid, list(names)):
                found[record["credential"]].models.append(record["name"])
        return found

    async def named_by_any(self, tenant: TenantId, name: str) -> dict[UUID, str]:
        """Workflows of which any version names the credential, whatever their status; at most 50, names by ids."""
        async with self._database.transaction(tenant) as transaction:
            return {record[0]: record[1] for record in await transaction.fetch(_NAMED_BY_ANY, tenant.uuid, name)}

    async def denied_to(self, tenant: TenantId, person: UUID, version_id: UUID) -> Sequence[str]:
        """The credentials which a version names and a person may not use."""
        async with self._database.transaction(tenant) as transaction:
            return [record[0] for record in await transaction.fetch(_DENIED, tenant.uuid, version_id, person)]


class KeyRotation:
    """All tenants' credentials, as a rotation of keys sees them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def not_wrapped_by(self, key_id: str, *, limit: int, without: Sequence[UUID] = ()) -> list[Credential]:
        """Credentials whose data key another key wraps, but for those named `without`."""
        async with self._database.transaction(purpose="key_rotation") as transaction:
            records = await transaction.fetch(_WRAPPED_BY_OTHERS, key_id, limit, list(without))
        return [row_of(Credential, record) for record in records]

    async def rewrap(self, row: Credential, sealed: Sealed) -> bool:
        """Store the data key as it is wrapped now; False if the credential was replaced or deleted meanwhile."""
        values = (row.tenant_id, row.id, row.version, sealed.key_id, sealed.wrapped_key, row.key_id)
        async with self._database.transaction(purpose="key_rotation") as transaction:
            return await transaction.fetchrow(_REWRAP, *values) is not None

    async def key_ids(self) -> dict[str, int]:
        """How many credentials each key wraps."""
        async with self._database.transaction(purpose="key_rotation") as transaction:
            return {record[0]: record[1] for record in await transaction.fetch(_KEY_IDS)}


def _found(record: asyncpg.Record | None, credential_id: UUID) -> asyncpg.Record:
    if record is None:
        raise NotFound(f"no credential {credential_id}")
    return record
