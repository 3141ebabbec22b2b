"""Lists of executions: narrowed, ordered, in pages, with or without their data."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import UUID

from models.repositories.executions import execution_of
from models.repositories.grants import EVERYTHING, Sight
from models.repositories.records import columns_of
from models.session import Database
from models.tables import Execution
from models.tenancy import TenantId

Order = Literal["-created", "created", "-finished", "finished", "-duration", "duration"]
PROBLEMS = frozenset({"failed", "cancelled", "timed_out"})
OPEN = frozenset({"pending", "running", "paused"})
CLOCKS_APART = timedelta(days=1)  # far more than the clocks of API, workers and PostgreSQL may differ
# Labels are texts, numbers and truth values; so reads one that is no text.
_MAY_BE_JSON = re.compile(r"true|false|-?(0|[1-9]\d{0,300})(\.\d{1,300})?", re.ASCII)
_ALL = columns_of(Execution)
_LISTED = columns_of(Execution, without=("input", "output"))
_COLUMNS = {"created": "id", "finished": "finished_at", "duration": "duration_ms"}  # an id begins with its time


@dataclass(frozen=True, slots=True)
class ExecutionFilter:
    """What a list of executions is narrowed to; everything given must hold.

    `labels` must all be there with these values, `label_texts` with values that read so. `tag` is one of the workflow.
    `sight` is whose eyes the list is for.
    """

    ids: Sequence[UUID] | None = None
    workflow_id: UUID | None = None
    statuses: Sequence[str] | None = None
    trigger: str | None = None
    tag: str | None = None
    started_by: str | None = None
    parent_execution_id: UUID | None = None
    rerun_of: UUID | None = None
    created_from: datetime | None = None
    created_before: datetime | None = None
    labels: Mapping[str, Any] | None = None
    label_texts: Mapping[str, str] = field(default_factory=dict[str, str])
    sight: Sight = EVERYTHING


@dataclass(frozen=True, slots=True)
class Place:
    """Where a page begins: behind the execution `id`, whose value in the list's order is `value` (None for its id)."""

    id: UUID
    value: datetime | float | None = None


@dataclass(frozen=True, slots=True)
class ExecutionPage:
    """Part of a list; `next` is where the next page begins, None at the end."""

    items: list[Execution]
    next: Place | None = None


class ExecutionLists:
    """Reads the table `execution`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(
        self,
        tenant: TenantId,
        narrowed: ExecutionFilter | None = None,
        *,
        order: Order = "-created",
        after: Place | None = None,
        limit: int = 50,
        data: bool = False,
    ) -> ExecutionPage:
        """Executions in order, without their input and output unless `data`.

        In the order of ends and durations stand only executions that have ended.
        """
        descending, column = order.startswith("-"), _COLUMNS[order.removeprefix("-")]
        conditions, arguments = _conditions(tenant, narrowed or ExecutionFilter())
        if after is not None:
            conditions.append(_behind(column, after, arguments, "<" if descending else ">"))
        keys = ("id",) if column == "id" else (column, "id")
        if column != "id":
            conditions.append(f"{column} IS NOT NULL")
        arguments.append(limit + 1)
        ordering = ", ".join(f"{key} DESC" if descending else key for key in keys)
        query = (
            f"SELECT {_ALL if data else _LISTED} FROM execution WHERE {' AND '.join(conditions)}"
            f" ORDER BY {ordering} LIMIT ${len(arguments)}"
        )
        async with self._database.transaction(tenant) as transaction:
            rows = [execution_of(record) for record in await transaction.fetch(query, *arguments)]
        if len(rows) <= limit:
            return ExecutionPage(rows)
        last = rows[limit - 1]
        return ExecutionPage(rows[:limit], Place(last.id, None if column == "id" else getattr(last, column)))

    async def every(
        self, tenant: TenantId, narrowed: ExecutionFilter, *, data: bool = False, page: int = 200
    ) -> AsyncGenerator[Execution]:
        """All executions, newest first; `page` of them are in memory at a time."""
        after: Place | None = None
        while True:
            found = await self.page(tenant, narrowed, after=after, limit=page, data=data)
            for execution in found.items:
                yield execution
            if found.next is None:
                return
            after = found.next

    async def count(self, tenant: TenantId, narrowed: ExecutionFilter, *, most: int) -> int:
        """How many there are, counted up to `most`."""
        conditions, arguments = _conditions(tenant, narrowed)
        arguments.append(most)
        inner = f"SELECT 1 FROM execution WHERE {' AND '.join(conditions)} LIMIT ${len(arguments)}"
        async with self._database.transaction(tenant) as transaction:
            return await transaction.fetchval(f"SELECT count(*) FROM ({inner}) found", *arguments)


def _behind(column: str, after: Place, arguments: list[Any], sign: str) -> str:
    if column == "id":
        arguments.append(after.id)
        return f"id {sign} ${len(arguments)}"
    arguments += [after.value, after.id]
    return f"({column}, id) {sign} (${len(arguments) - 1}, ${len(arguments)})"


def _conditions(tenant: TenantId, narrowed: ExecutionFilter) -> tuple[list[str], list[Any]]:
    """SQL fragments, all of them constants, and the arguments that they number."""
    wanted: list[tuple[str, Any]] = [
        ("id = ANY (${}::uuid[])", _listed(narrowed.ids)),
        ("workflow_id = ${}", narrowed.workflow_id),
        ("status = ANY (${}::text[])", _listed(narrowed.statuses)),
        ("trigger = ${}", narrowed.trigger),
        ("workflow_id IN (SELECT t.workflow_id FROM workflow_tag t WHERE t.tenant_id = $1 AND t.tag = ${})",
         narrowed.tag),
        ("started_by <> '' AND started_by = ${}" if narrowed.started_by else "started_by = ${}", narrowed.started_by),
        ("parent_execution_id = ${}", narrowed.parent_execution_id),
        ("rerun_of = ${}", narrowed.rerun_of),
        ("created_at >= ${}", narrowed.created_from),
        ("(finished_at IS NULL OR finished_at >= ${})", _moved(narrowed.created_from, -CLOCKS_APART)),
        ("created_at < ${}", narrowed.created_before),
        ("id < ${}", _id_before(narrowed.created_before)),
        ("metadata <> '{{}}'::jsonb AND metadata @> ${}::jsonb", dict(narrowed.labels) if narrowed.labels else None),
        narrowed.sight.condition("workflow_id"),
    ]  # fmt: skip
    conditions, arguments = ["tenant_id = $1", *_of_statuses(narrowed.statuses)], [tenant.uuid]
    for fragment, argument in wanted:
        if argument is not None:
            arguments.append(argument)
            conditions.append(fragment.format(len(arguments)))
    for name, text in narrowed.label_texts.items():
        arguments += [name, text]
        key, value = f"${len(arguments) - 1}::text", f"${len(arguments)}::text"
        contained = f"metadata @> jsonb_build_object({key}, {value})"
        if _MAY_BE_JSON.fullmatch(text):
            contained = f"({contained} OR metadata @> jsonb_build_object({key}, {value}::jsonb))"
        # The index knows containment alone; what a value reads as decides.
        conditions.append(f"metadata <> '{{}}'::jsonb AND {contained} AND metadata ->> {key} = {value}")
    return conditions, arguments


def _of_statuses(statuses: Sequence[str] | None) -> list[str]:
    """What follows from the statuses, in the words of the indexes that hold these executions alone."""
    if statuses and set(statuses) <= PROBLEMS:
        return ["status IN ('failed', 'cancelled', 'timed_out')"]
    return ["finished_at IS NULL"] if statuses and set(statuses) <= OPEN else []


def _moved(moment: datetime | None, by: timedelta) -> datetime | None:
    try:
        return None if moment is None else moment + by
    except OverflowError:
        return None


def _id_before(moment: datetime | None) -> UUID | None:
    """An id above those of all executions created before `moment`, so that later partitions are not read.

    There is none for how early: the id of a backfill holds the time that it fills.
    """
    later = _moved(moment, CLOCKS_APART)
    if later is None or later.timestamp() < 0:
        return None
    return UUID(int=int(later.timestamp() * 1000) << 80)


def _listed(values: Sequence[Any] | None) -> list[Any] | None:
    return None if values is None else list(values)
