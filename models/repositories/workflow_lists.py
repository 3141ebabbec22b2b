"""Lists of workflows: filters, orders, and pages that stay the same when rows are added.

Row security lets only leakproof operators reach an index, and no pattern match is one. So a search walks the tenant's
own rows, which an index does find, in the order that was asked for; a trigram index would never be used.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from models.repositories.grants import EVERYTHING, Sight
from models.repositories.records import columns_of, row_of
from models.session import Database
from models.tables import Workflow
from models.tenancy import TenantId

_ALL = columns_of(Workflow)
Order = Literal["created", "-created", "updated", "-updated", "name", "-name"]
Place = tuple[Any, UUID]
_COLUMNS = {"created": "id", "updated": "updated_at", "name": "name"}
_TYPES = {"created": "uuid", "updated": "timestamptz", "name": "text"}
_BELOW = """folder_id IN (
    WITH RECURSIVE below AS (
        SELECT id FROM folder WHERE tenant_id = $1 AND id = {folder}
        UNION ALL SELECT f.id FROM folder f JOIN below b ON f.tenant_id = $1 AND f.parent_id = b.id)
    SELECT id FROM below)"""
_SEARCH = """(strpos(lower(name), lower({text})) > 0 OR strpos(lower(description), lower({text})) > 0
    OR EXISTS (SELECT FROM unnest(tags) AS tag WHERE strpos(tag, lower({text})) > 0))"""
_TAGGED = "id IN (SELECT workflow_id FROM workflow_tag WHERE tenant_id = $1 AND tag = ANY ({tags}::text[]){all})"


@dataclass(frozen=True, slots=True)
class WorkflowFilter:
    """What a list of workflows is narrowed to. `folder` is an id, or `top` for those in no folder."""

    statuses: Sequence[str] | None = None
    owner: str | None = None
    folder: UUID | Literal["top"] | None = None
    with_subfolders: bool = False
    tags: Sequence[str] = ()
    any_tag: bool = False
    search: str | None = None
    updated_since: datetime | None = None
    ids: Sequence[UUID] | None = None
    sight: Sight = EVERYTHING


class _Query:
    """Conditions with their parameters; `$1` is the tenant."""

    def __init__(self, tenant: TenantId) -> None:
        self.arguments: list[Any] = [tenant.uuid]
        self.conditions = ["tenant_id = $1"]

    def place(self, value: Any) -> str:
        self.arguments.append(value)
        return f"${len(self.arguments)}"

    def narrow(self, condition: str) -> None:
        self.conditions.append(condition)


class WorkflowLists:
    """The table `workflow`, read in pages."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(
        self,
        tenant: TenantId,
        narrowed: WorkflowFilter,
        *,
        order: Order = "-created",
        after: Place | None = None,
        limit: int = 50,
    ) -> tuple[list[Workflow], Place | None]:
        """Workflows and the place that the next page begins behind, None at the end."""
        text, arguments = list_query(tenant, narrowed, order=order, after=after, limit=limit)
        async with self._database.transaction(tenant) as transaction:
            records = await transaction.fetch(text, *arguments)
        rows = [row_of(Workflow, record) for record in records[:limit]]
        return rows, place_of(rows[-1], order) if len(records) > limit else None

    async def tags(
        self, tenant: TenantId, prefix: str = "", *, sight: Sight = EVERYTHING, limit: int = 200
    ) -> list[tuple[str, int]]:
        """Tags that begin with `prefix` and how many workflows have each, in their order."""
        query = _Query(tenant)
        query.narrow(f"starts_with(tag, {query.place(prefix)})")
        _narrow_to_sight(query, "workflow_id", sight)
        text = f"""
            SELECT tag, count(*) AS workflows FROM workflow_tag WHERE {" AND ".join(query.conditions)}
             GROUP BY tag ORDER BY tag LIMIT {limit}
        """
        async with self._database.transaction(tenant) as transaction:
            records = await transaction.fetch(text, *query.arguments)
        return [(record["tag"], record["workflows"]) for record in records]


def place_of(row: Workflow, order: Order) -> Place:
    """Where a row stands in a list of this order."""
    return getattr(row, _COLUMNS[order.lstrip("-")]), row.id


def list_query(
    tenant: TenantId, narrowed: WorkflowFilter, *, order: Order, after: Place | None, limit: int
) -> tuple[str, list[Any]]:
    """The statement of a page and its arguments."""
    query = _Query(tenant)
    _narrow_by_columns(query, narrowed)
    _narrow_by_place(query, narrowed)
    _narrow_to_sight(query, "id", narrowed.sight)
    key = order.lstrip("-")
    column, way = _COLUMNS[key], "DESC" if order.startswith("-") else "ASC"
    if after is not None:
        sign = "<" if way == "DESC" else ">"
        query.narrow(f"({column}, id) {sign} ({query.place(after[0])}::{_TYPES[key]}, {query.place(after[1])}::uuid)")
    where = " AND ".join(query.conditions)
    text = f"SELECT {_ALL} FROM workflow WHERE {where} ORDER BY {column} {way}, id {way} LIMIT {limit + 1}"
    return text, query.arguments


def _narrow_by_columns(query: _Query, narrowed: WorkflowFilter) -> None:
    if narrowed.statuses is not None:
        query.narrow(f"status = ANY ({query.place(list(narrowed.statuses))}::text[])")
    if narrowed.owner is not None:
        query.narrow(f"owner = {query.place(narrowed.owner)}")
    if narrowed.updated_since is not None:
        query.narrow(f"updated_at >= {query.place(narrowed.updated_since)}")
    if narrowed.ids is not None:
        query.narrow(f"id = ANY ({query.place(list(narrowed.ids))}::uuid[])")
    if narrowed.search:
        query.narrow(_SEARCH.format(text=f"{query.place(narrowed.search)}::text"))


def _narrow_by_place(query: _Query, narrowed: WorkflowFilter) -> None:
    if narrowed.folder == "top":
        query.narrow("folder_id IS NULL")
    elif narrowed.folder is not None and narrowed.with_subfolders:
        query.narrow(_BELOW.format(folder=query.place(narrowed.folder)))
    elif narrowed.folder is not None:
        query.narrow(f"folder_id = {query.place(narrowed.folder)}")
    if narrowed.tags:
        tags = query.place(list(narrowed.tags))
        every = "" if narrowed.any_tag else f" GROUP BY workflow_id HAVING count(*) = cardinality({tags}::text[])"
        query.narrow(_TAGGED.format(tags=tags, all=every))


def _narrow_to_sight(query: _Query, column: str, sight: Sight) -> None:
    condition, seen_by = sight.condition(column)
    if seen_by is not None:
        query.narrow(condition.format(query.place(seen_by).removeprefix("$")))
