"""Workflows and their versions."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import asyncpg
import orjson

from engine.errors import Conflict, NotFound
from models.ids import new_id
from models.repositories.records import Page, columns_of, page_of, row_of
from models.session import Connection, Database
from models.tables import Workflow, WorkflowVersion
from models.tenancy import TenantId

_ALL = columns_of(Workflow)
_VERSION = columns_of(WorkflowVersion)
_VERSION_LISTED = columns_of(WorkflowVersion, without=("spec",))

_INSERT = f"""
    INSERT INTO workflow (tenant_id, id, name, description, owner, latest_version) VALUES ($1, $2, $3, $4, $5, 1)
    RETURNING {_ALL}
"""
_INSERT_VERSION = f"""
    INSERT INTO workflow_version (tenant_id, id, workflow_id, number, spec, digest, author, note)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING {_VERSION}
"""
_ADVANCE = f"""
    UPDATE workflow SET latest_version = $3, name = $4, description = $5, updated_at = now()
     WHERE tenant_id = $1 AND id = $2 RETURNING {_ALL}
"""
_PUBLISH = f"""
    UPDATE workflow w SET published_version = $3, updated_at = now() WHERE w.tenant_id = $1 AND w.id = $2
       AND ($3::integer IS NULL OR EXISTS (SELECT FROM workflow_version v
            WHERE v.tenant_id = $1 AND v.workflow_id = $2 AND v.number = $3))
    RETURNING {_ALL}
"""
_STATUS = f"UPDATE workflow SET status = $3, updated_at = now() WHERE tenant_id = $1 AND id = $2 RETURNING {_ALL}"


@dataclass(frozen=True, slots=True)
class Saved:
    """A workflow with the version that a call saved, or found to be the same already."""

    workflow: Workflow
    version: WorkflowVersion
    is_new: bool = True


def spec_digest(spec: dict[str, Any]) -> str:
    """SHA-256 of the spec's JSON with sorted keys, hexadecimal."""
    return hashlib.sha256(orjson.dumps(spec, option=orjson.OPT_SORT_KEYS)).hexdigest()


class Workflows:
    """The table `workflow`, and the versions that are saved with it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(
        self, tenant: TenantId, spec: dict[str, Any], *, owner: str = "", author: str = "", note: str = ""
    ) -> Saved:
        """Save a valid spec as version 1 of a new workflow with its name. Raises: Conflict if the name is taken."""
        name, description = str(spec["name"]), str(spec.get("description", ""))
        try:
            async with self._database.transaction(tenant) as transaction:
                record = await transaction.fetchrow(_INSERT, tenant.uuid, new_id(), name, description, owner)
                assert record is not None
                version = await _add_version(transaction, tenant, record["id"], 1, spec, author, note)
        except asyncpg.UniqueViolationError:
            raise _name_taken(name) from None
        return Saved(row_of(Workflow, record), version)

    async def save(
        self,
        tenant: TenantId,
        workflow_id: UUID,
        spec: dict[str, Any],
        *,
        expected_latest: int | None = None,
        author: str = "",
        note: str = "",
    ) -> Saved:
        """Save a spec as the next version; the same spec as the latest version is not saved again.

        Raises: NotFound; Conflict if the latest version is not `expected_latest`, or the new name is taken.
        """
        name, description = str(spec["name"]), str(spec.get("description", ""))
        try:
            async with self._database.transaction(tenant) as transaction:
                workflow = await _locked(transaction, tenant, workflow_id)
                if expected_latest not in (None, workflow.latest_version):
                    raise Conflict(f"version {workflow.latest_version} was saved meanwhile", code="VERSION_CONFLICT")
                latest = await _version(transaction, tenant, workflow_id, workflow.latest_version)
                if latest.digest == spec_digest(spec):
                    return Saved(workflow, latest, is_new=False)
                number = workflow.latest_version + 1
                version = await _add_version(transaction, tenant, workflow_id, number, spec, author, note)
                record = await transaction.fetchrow(_ADVANCE, tenant.uuid, workflow_id, number, name, description)
        except asyncpg.UniqueViolationError:
            raise _name_taken(name) from None
        assert record is not None
        return Saved(row_of(Workflow, record), version)

    async def get(self, tenant: TenantId, workflow_id: UUID) -> Workflow:
        """Raises: NotFound."""
        return await self._one(tenant, f"SELECT {_ALL} FROM workflow WHERE tenant_id = $1 AND id = $2", workflow_id)

    async def get_by_name(self, tenant: TenantId, name: str) -> Workflow:
        """Raises: NotFound."""
        return await self._one(tenant, f"SELECT {_ALL} FROM workflow WHERE tenant_id = $1 AND name = $2", name)

    async def list(
        self,
        tenant: TenantId,
        *,
        owner: str | None = None,
        status: str | None = "active",
        search: str | None = None,
        before: UUID | None = None,
        limit: int = 50,
    ) -> Page[Workflow]:
        """Workflows, newest first; `search` is part of a name, in any case."""
        query = f"""
            SELECT {_ALL} FROM workflow WHERE tenant_id = $1 AND ($2::text IS NULL OR owner = $2)
               AND ($3::text IS NULL OR status = $3) AND ($4::text IS NULL OR strpos(lower(name), lower($4)) > 0)
               AND ($5::uuid IS NULL OR id < $5) ORDER BY id DESC LIMIT $6
        """
        async with self._database.transaction(tenant) as transaction:
            records = await transaction.fetch(query, tenant.uuid, owner, status, search, before, limit + 1)
        return page_of([row_of(Workflow, record) for record in records], limit)

    async def publish(self, tenant: TenantId, workflow_id: UUID, number: int | None) -> Workflow:
        """Make a version the one that public triggers run; None takes it back. Raises: NotFound."""
        return await self._one(tenant, _PUBLISH, workflow_id, number)

    async def set_status(self, tenant: TenantId, workflow_id: UUID, status: str) -> Workflow:
        """Make it `active` or `archived`. Raises: NotFound."""
        return await self._one(tenant, _STATUS, workflow_id, status)

    async def _one(self, tenant: TenantId, query: str, *arguments: object) -> Workflow:
        async with self._database.transaction(tenant) as transaction:
            record = await transaction.fetchrow(query, tenant.uuid, *arguments)
        if record is None:
            raise NotFound(f"no workflow {arguments[0]}" + (f" with version {arguments[1]}" if arguments[1:] else ""))
        return row_of(Workflow, record)


class Versions:
    """The table `workflow_version`: rows are made by `Workflows` and never change."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, tenant: TenantId, version_id: UUID) -> WorkflowVersion:
        """Raises: NotFound."""
        query = f"SELECT {_VERSION} FROM workflow_version WHERE tenant_id = $1 AND id = $2"
        async with self._database.transaction(tenant) as transaction:
            record = await transaction.fetchrow(query, tenant.uuid, version_id)
        if record is None:
            raise NotFound(f"no version {version_id}")
        return row_of(WorkflowVersion, record)

    async def get_number(self, tenant: TenantId, workflow_id: UUID, number: int) -> WorkflowVersion:
        """Version `number` of a workflow. Raises: NotFound."""
        async with self._database.transaction(tenant) as transaction:
            return await _version(transaction, tenant, workflow_id, number)

    async def list(self, tenant: TenantId, workflow_id: UUID) -> Sequence[WorkflowVersion]:
        """The versions of a workflow, newest first, without their specs."""
        query = f"""
            SELECT {_VERSION_LISTED} FROM workflow_version WHERE tenant_id = $1 AND workflow_id = $2
             ORDER BY number DESC
        """
        async with self._database.transaction(tenant) as transaction:
            records = await transaction.fetch(query, tenant.uuid, workflow_id)
        return [row_of(WorkflowVersion, record) for record in records]


async def _add_version(
    transaction: Connection,
    tenant: TenantId,
    workflow_id: UUID,
    number: int,
    spec: dict[str, Any],
    author: str,
    note: str,
) -> WorkflowVersion:
    arguments = (tenant.uuid, new_id(), workflow_id, number, spec, spec_digest(spec), author, note)
    record = await transaction.fetchrow(_INSERT_VERSION, *arguments)
    assert record is not None
    return row_of(WorkflowVersion, record)


async def _version(transaction: Connection, tenant: TenantId, workflow_id: UUID, number: int) -> WorkflowVersion:
    query = f"SELECT {_VERSION} FROM workflow_version WHERE tenant_id = $1 AND workflow_id = $2 AND number = $3"
    record = await transaction.fetchrow(query, tenant.uuid, workflow_id, number)
    if record is None:
        raise NotFound(f"no version {number} of workflow {workflow_id}")
    return row_of(WorkflowVersion, record)


async def _locked(transaction: Connection, tenant: TenantId, workflow_id: UUID) -> Workflow:
    query = f"SELECT {_ALL} FROM workflow WHERE tenant_id = $1 AND id = $2 FOR UPDATE"
    record = await transaction.fetchrow(query, tenant.uuid, workflow_id)
    if record is None:
        raise NotFound(f"no workflow {workflow_id}")
    return row_of(Workflow, record)


def _name_taken(name: str) -> Conflict:
    return Conflict(f"there is a workflow named {name!r} already", code="NAME_TAKEN", details={"name": name})
