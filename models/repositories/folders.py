"""Folders of workflows: a tree without cycles, of bounded depth."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from uuid import UUID

import asyncpg

from engine.errors import Conflict, NotFound
from models.ids import new_id
from models.repositories.grants import ALL_MEMBERS
from models.repositories.records import columns_of, row_of
from models.roles import Role
from models.session import Connection, Database
from models.tables import Folder
from models.tenancy import TenantId

MAX_DEPTH = 10
_ALL = columns_of(Folder)
# Two moves at once could make a cycle together that neither makes alone, so a tenant's tree changes one by one.
_LOCK = "SELECT pg_advisory_xact_lock(hashtextextended('structforge.folders:' || $1::text, 0))"
_ABOVE = """
    WITH RECURSIVE above AS (
        SELECT id, parent_id FROM folder WHERE tenant_id = $1 AND id = $2
        UNION ALL SELECT f.id, f.parent_id FROM folder f JOIN above a ON f.tenant_id = $1 AND f.id = a.parent_id)
    SELECT id FROM above
"""
_HEIGHT = """
    WITH RECURSIVE below AS (
        SELECT id, 1 AS height FROM folder WHERE tenant_id = $1 AND id = $2
        UNION ALL SELECT f.id, b.height + 1 FROM folder f JOIN below b ON f.tenant_id = $1 AND f.parent_id = b.id)
    SELECT max(height) FROM below
"""
_UNEDITED = f"""
    WITH RECURSIVE below AS (
        SELECT id FROM folder WHERE tenant_id = $1 AND id = $2
        UNION ALL SELECT f.id FROM folder f JOIN below b ON f.tenant_id = $1 AND f.parent_id = b.id)
    SELECT count(*) FROM workflow w JOIN below b ON w.folder_id = b.id
     WHERE w.tenant_id = $1 AND NOT EXISTS (SELECT FROM workflow_grant g
            WHERE g.tenant_id = $1 AND g.workflow_id = w.id AND g.member_id IN ($3, '{ALL_MEMBERS}')
              AND role_rank(g.role) >= $4)
"""
_CHANGE = f"""
    UPDATE folder SET name = $3, parent_id = $4, updated_at = now() WHERE tenant_id = $1 AND id = $2 RETURNING {_ALL}
"""


class Folders:
    """The table `folder`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(self, tenant: TenantId, name: str, parent_id: UUID | None = None) -> Folder:
        """Raises: NotFound without the parent; Conflict (NAME_TAKEN, FOLDER_TOO_DEEP)."""
        query = f"INSERT INTO folder (tenant_id, id, parent_id, name) VALUES ($1, $2, $3, $4) RETURNING {_ALL}"
        with _translated(name):
            async with self._database.transaction(tenant) as transaction:
                await transaction.execute(_LOCK, str(tenant))
                await _check_depth(transaction, tenant, parent_id, 1)
                record = await transaction.fetchrow(query, tenant.uuid, new_id(), parent_id, name)
        assert record is not None
        return row_of(Folder, record)

    async def unedited_within(self, tenant: TenantId, folder_id: UUID, member: UUID) -> int:
        """How many workflows in the folder and below the person has no editor's role on."""
        async with self._database.transaction(tenant) as transaction:
            return await transaction.fetchval(_UNEDITED, tenant.uuid, folder_id, member, Role.EDITOR.rank)

    async def change(self, tenant: TenantId, folder_id: UUID, name: str, parent_id: UUID | None) -> Folder:
        """Rename and move a folder with all that is in it.

        Raises: NotFound; Conflict (NAME_TAKEN, FOLDER_TOO_DEEP, FOLDER_CYCLE).
        """
        with _translated(name):
            async with self._database.transaction(tenant) as transaction:
                await transaction.execute(_LOCK, str(tenant))
                height = await transaction.fetchval(_HEIGHT, tenant.uuid, folder_id)
                above = await _check_depth(transaction, tenant, parent_id, height or 1)
                if folder_id in above:
                    raise Conflict("a folder cannot stand inside itself", code="FOLDER_CYCLE")
                record = await transaction.fetchrow(_CHANGE, tenant.uuid, folder_id, name, parent_id)
        return _found(record, folder_id)

    async def get(self, tenant: TenantId, folder_id: UUID) -> Folder:
        """Raises: NotFound."""
        query = f"SELECT {_ALL} FROM folder WHERE tenant_id = $1 AND id = $2"
        async with self._database.transaction(tenant) as transaction:
            return _found(await transaction.fetchrow(query, tenant.uuid, folder_id), folder_id)

    async def all(self, tenant: TenantId, *, limit: int = 5000) -> list[Folder]:
        """The tenant's folders by name."""
        query = f"SELECT {_ALL} FROM folder WHERE tenant_id = $1 ORDER BY name, id LIMIT $2"
        async with self._database.transaction(tenant) as transaction:
            return [row_of(Folder, record) for record in await transaction.fetch(query, tenant.uuid, limit)]

    async def delete(self, tenant: TenantId, folder_id: UUID) -> None:
        """Raises: NotFound; Conflict (FOLDER_NOT_EMPTY)."""
        query = "DELETE FROM folder WHERE tenant_id = $1 AND id = $2 RETURNING id"
        try:
            async with self._database.transaction(tenant) as transaction:
                gone = await transaction.fetchval(query, tenant.uuid, folder_id)
        except asyncpg.ForeignKeyViolationError:
            message = "the folder holds folders or workflows, archived ones among them perhaps: move them first"
            raise Conflict(message, code="FOLDER_NOT_EMPTY") from None
        if gone is None:
            raise NotFound(f"no folder {folder_id}")


async def _check_depth(transaction: Connection, tenant: TenantId, parent_id: UUID | None, height: int) -> set[UUID]:
    """The ids from `parent_id` up, if a branch of `height` folders may stand there."""
    if parent_id is None:
        return set()
    above = {record["id"] for record in await transaction.fetch(_ABOVE, tenant.uuid, parent_id)}
    if not above:
        raise NotFound(f"no folder {parent_id}")
    if len(above) + height > MAX_DEPTH:
        raise Conflict(f"folders stand at most {MAX_DEPTH} deep", code="FOLDER_TOO_DEEP")
    return above


def _found(record: asyncpg.Record | None, folder_id: UUID) -> Folder:
    if record is None:
        raise NotFound(f"no folder {folder_id}")
    return row_of(Folder, record)


@contextmanager
def _translated(name: str) -> Generator[None]:
    try:
        yield
    except asyncpg.UniqueViolationError:
        message = f"there is a folder named {name!r} in this place already"
        raise Conflict(message, code="NAME_TAKEN", details={"name": name}) from None
