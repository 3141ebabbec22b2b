"""Workflows and their versions."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import asyncpg
import orjson

from engine.errors import Conflict, NotFound
from models.ids import new_id
from models.repositories.records import columns_of, row_of
from models.session import Connection, Database
from models.tables import Workflow, WorkflowVersion
from models.tenancy import TenantId

_ALL = columns_of(Workflow)
_VERSION = columns_of(WorkflowVersion)
_VERSION_LISTED = columns_of(WorkflowVersion, without=("spec",))

_INSERT = f"""
    INSERT INTO workflow (tenant_id, id, name, description, owner, latest_version, published_version, status, folder_id)
    VALUES ($1, $2, $3, $4, $5, 1, CASE WHEN $6::boolean THEN 1 END, CASE WHEN $6 THEN 'active' ELSE 'draft' END, $7)
    RETURNING {_ALL}
"""
_INSERT_VERSION = f"""
    INSERT INTO workflow_version (tenant_id, id, workflow_id, number, spec, digest, author, note, valid, author_id)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) RETURNING {_VERSION}
"""
_ADVANCE = f"""
    UPDATE workflow SET latest_version = $3, name = $4, description = $5, updated_at = now()
     WHERE tenant_id = $1 AND id = $2 RETURNING {_ALL}
"""
# Publishing makes a draft active, and taking it back makes a draft again; what is paused or archived stays so.
_PUBLISH = f"""
    UPDATE workflow w SET published_version = $3, updated_at = now(),
           status = CASE WHEN $3::integer IS NULL AND w.status IN ('active', 'paused') THEN 'draft'
                         WHEN $3::integer IS NOT NULL AND w.status = 'draft' THEN 'active' ELSE w.status END
     WHERE w.tenant_id = $1 AND w.id = $2
       AND ($3::integer IS NULL OR EXISTS (SELECT FROM workflow_version v
            WHERE v.tenant_id = $1 AND v.workflow_id = $2 AND v.number = $3 AND v.valid))
    RETURNING {_ALL}
"""
_STATUS = f"""
    UPDATE workflow SET status = $3, updated_at = now()
     WHERE tenant_id = $1 AND id = $2 AND ($4::text[] IS NULL OR status = ANY ($4)) RETURNING {_ALL}
"""
_FOLDER = f"UPDATE workflow SET folder_id = $3, updated_at = now() WHERE tenant_id = $1 AND id = $2 RETURNING {_ALL}"
_TAGS = f"UPDATE workflow SET tags = $3, updated_at = now() WHERE tenant_id = $1 AND id = $2 RETURNING {_ALL}"
_TAG_ROWS = """
    INSERT INTO workflow_tag (tenant_id, tag, workflow_id) SELECT $1, tag, $2 FROM unnest($3::text[]) AS tag
"""


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
        self,
        tenant: TenantId,
        spec: dict[str, Any],
        *,
        owner: str = "",
        author: str = "",
        author_id: UUID | None = None,
        note: str = "",
        valid: bool = True,
        publish: bool = False,
        folder_id: UUID | None = None,
        tags: Sequence[str] = (),
    ) -> Saved:
        """Save a spec as version 1 of a new workflow with its name, a draft unless it is published.

        Raises: Conflict (NAME_TAKEN); NotFound if there is no such folder.
        """
        name, description = str(spec["name"]), str(spec.get("description", ""))
        arguments = (new_id(), name, description, owner, publish, folder_id)
        with _translated(name, folder_id):
            async with self._database.transaction(tenant) as transaction:
                record = await transaction.fetchrow(_INSERT, tenant.uuid, *arguments)
                assert record is not None
                version = await _add_version(transaction, tenant, record["id"], 1, spec, author, note, valid, author_id)
                if tags:
                    record = await _write_tags(transaction, tenant, record["id"], tags)
        return Saved(row_of(Workflow, record), version)

    async def save(
        self,
        tenant: TenantId,
        workflow_id: UUID,
        spec: dict[str, Any],
        *,
        expected_latest: int | None = None,
        author: str = "",
        author_id: UUID | None = None,
        note: str = "",
        valid: bool = True,
        publish: bool = False,
    ) -> Saved:
        """Save a spec as the next version, and publish it; the same spec as the latest version is not saved again.

        Raises: NotFound; Conflict if the latest version is not `expected_latest`, or the new name is taken.
        """
        name, description = str(spec["name"]), str(spec.get("description", ""))
        with _translated(name, None):
            async with self._database.transaction(tenant) as transaction:
                workflow = await _locked(transaction, tenant, workflow_id)
                if expected_latest not in (None, workflow.latest_version):
                    raise _saved_meanwhile(workflow, expected_latest)
                version = await _version(transaction, tenant, workflow_id, workflow.latest_version)
                is_new = version.digest != spec_digest(spec) or version.valid != valid
                if is_new:
                    number = workflow.latest_version + 1
                    version = await _add_version(
                        transaction, tenant, workflow_id, number, spec, author, note, valid, author_id
                    )
                    record = await transaction.fetchrow(_ADVANCE, tenant.uuid, workflow_id, number, name, description)
                    workflow = row_of(Workflow, _there(record, workflow_id))
                if publish and workflow.published_version != version.number:
                    record = await transaction.fetchrow(_PUBLISH, tenant.uuid, workflow_id, version.number)
                    workflow = row_of(Workflow, _there(record, workflow_id))
        return Saved(workflow, version, is_new)

    async def get(self, tenant: TenantId, workflow_id: UUID) -> Workflow:
        """Raises: NotFound."""
        return await self._one(tenant, f"SELECT {_ALL} FROM workflow WHERE tenant_id = $1 AND id = $2", workflow_id)

    async def get_by_name(self, tenant: TenantId, name: str) -> Workflow:
        """Raises: NotFound."""
        return await self._one(tenant, f"SELECT {_ALL} FROM workflow WHERE tenant_id = $1 AND name = $2", name)

    async def publish(self, tenant: TenantId, workflow_id: UUID, number: int | None) -> Workflow:
        """Make a valid version the one that public triggers run; None takes it back. Raises: NotFound."""
        async with self._database.transaction(tenant) as transaction:
            record = await transaction.fetchrow(_PUBLISH, tenant.uuid, workflow_id, number)
        if record is None:
            raise NotFound(f"no workflow {workflow_id}" + (f" with a valid version {number}" if number else ""))
        return row_of(Workflow, record)

    async def set_status(
        self, tenant: TenantId, workflow_id: UUID, status: str, *, allowed: Collection[str] | None = None
    ) -> Workflow | None:
        """Make it `draft`, `active`, `paused` or `archived`; None if it is in a status that is not `allowed`.

        Raises: NotFound.
        """
        states = None if allowed is None else list(allowed)
        async with self._database.transaction(tenant) as transaction:
            record = await transaction.fetchrow(_STATUS, tenant.uuid, workflow_id, status, states)
        if record is None and allowed is None:
            raise NotFound(f"no workflow {workflow_id}")
        return None if record is None else row_of(Workflow, record)

    async def move(self, tenant: TenantId, workflow_id: UUID, folder_id: UUID | None) -> Workflow:
        """Put it into a folder, or at the top. Raises: NotFound if either is not there."""
        with _translated("", folder_id):
            return await self._one(tenant, _FOLDER, workflow_id, folder_id)

    async def set_tags(self, tenant: TenantId, workflow_id: UUID, tags: Sequence[str]) -> Workflow:
        """Give it exactly these tags, already in their normal form. Raises: NotFound."""
        async with self._database.transaction(tenant) as transaction:
            return row_of(Workflow, await _write_tags(transaction, tenant, workflow_id, tags))

    async def delete(self, tenant: TenantId, workflow_id: UUID) -> None:
        """Delete an archived workflow with its versions; executions that have ended stay.

        Raises: NotFound; Conflict (NOT_ARCHIVED, EXECUTION_RUNNING).
        """
        async with self._database.transaction(tenant) as transaction:
            outcome = await transaction.fetchval("SELECT delete_workflow($1, $2)", tenant.uuid, workflow_id)
        if outcome == "missing":
            raise NotFound(f"no workflow {workflow_id}")
        if outcome == "not_archived":
            raise Conflict("only an archived workflow can be deleted: archive it first", code="NOT_ARCHIVED")
        if outcome == "running":
            raise Conflict("executions of the workflow are still running: cancel them", code="EXECUTION_RUNNING")

    async def _one(self, tenant: TenantId, query: str, *arguments: object) -> Workflow:
        async with self._database.transaction(tenant) as transaction:
            record = await transaction.fetchrow(query, tenant.uuid, *arguments)
        return row_of(Workflow, _there(record, arguments[0]))


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

    async def page(
        self, tenant: TenantId, workflow_id: UUID, *, before: int | None = None, limit: int = 50
    ) -> tuple[list[WorkflowVersion], int | None]:
        """Versions below `before`, newest first, without their specs, and where the next page begins."""
        query = f"""
            SELECT {_VERSION_LISTED} FROM workflow_version WHERE tenant_id = $1 AND workflow_id = $2
               AND ($3::integer IS NULL OR number < $3) ORDER BY number DESC LIMIT $4
        """
        async with self._database.transaction(tenant) as transaction:
            records = await transaction.fetch(query, tenant.uuid, workflow_id, before, limit + 1)
        rows = [row_of(WorkflowVersion, record) for record in records[:limit]]
        return rows, rows[-1].number if len(records) > limit else None

    async def drop_old(self, tenant: TenantId, workflow_id: UUID, keep: int) -> int:
        """Delete versions older than the last `keep` that are neither published nor were executed; how many."""
        async with self._database.transaction(tenant) as transaction:
            return await transaction.fetchval("SELECT drop_old_versions($1, $2, $3)", tenant.uuid, workflow_id, keep)


async def _add_version(
    transaction: Connection,
    tenant: TenantId,
    workflow_id: UUID,
    number: int,
    spec: dict[str, Any],
    author: str,
    note: str,
    valid: bool,
    author_id: UUID | None,
) -> WorkflowVersion:
    arguments = (tenant.uuid, new_id(), workflow_id, number, spec, spec_digest(spec), author, note, valid, author_id)
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
    return row_of(Workflow, _there(await transaction.fetchrow(query, tenant.uuid, workflow_id), workflow_id))


async def _write_tags(
    transaction: Connection, tenant: TenantId, workflow_id: UUID, tags: Sequence[str]
) -> asyncpg.Record:
    record = _there(await transaction.fetchrow(_TAGS, tenant.uuid, workflow_id, tags), workflow_id)
    await transaction.execute(
        "DELETE FROM workflow_tag WHERE tenant_id = $1 AND workflow_id = $2", tenant.uuid, workflow_id
    )
    await transaction.execute(_TAG_ROWS, tenant.uuid, workflow_id, tags)
    return record


def _there(record: asyncpg.Record | None, workflow_id: object) -> asyncpg.Record:
    if record is None:
        raise NotFound(f"no workflow {workflow_id}")
    return record


def _saved_meanwhile(workflow: Workflow, expected: int | None) -> Conflict:
    details = {"expected_version": expected, "latest_version": workflow.latest_version}
    message = f"version {workflow.latest_version} was saved meanwhile: compare it with your change, and save on top"
    return Conflict(message, code="VERSION_CONFLICT", details=details)


@contextmanager
def _translated(name: str, folder_id: UUID | None) -> Generator[None]:
    try:
        yield
    except asyncpg.UniqueViolationError:
        message = f"there is a workflow named {name!r} already"
        raise Conflict(message, code="NAME_TAKEN", details={"name": name}) from None
    except asyncpg.ForeignKeyViolationError:
        raise NotFound(f"no folder {folder_id}") from None
