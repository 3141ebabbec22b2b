"""Numbers over executions: of the whole installation for its metrics, of one tenant over a time for its people."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg

from engine.errors import SystemFault
from models.repositories.executions import QUEUED
from models.repositories.grants import EVERYTHING, Sight
from models.session import Connection, Database, Purpose
from models.tenancy import TenantId

LONGEST_S = 5  # a query of sums ends by then
_BOUND = f"SET LOCAL statement_timeout = '{LONGEST_S}s'"
_OPEN = f"""
    SELECT CASE WHEN reason = '{QUEUED}' THEN '{QUEUED}' ELSE status END AS status, count(*) AS count,
           extract(epoch FROM now() - min(coalesce(released_at, created_at)))::float8 AS age_s
      FROM execution WHERE finished_at IS NULL GROUP BY 1
"""
_RUNNING = "SELECT count(DISTINCT workflow_id) FROM execution WHERE finished_at IS NULL"
_WORKFLOWS = "SELECT status, count(*) FROM workflow GROUP BY 1"
_OWN_OPEN = """
    SELECT status, count(*) FROM (SELECT status FROM execution WHERE {where} AND finished_at IS NULL LIMIT ${most}) o
     GROUP BY 1
"""
_MEASURES = """
    count(*) AS count,
    count(*) FILTER (WHERE status = 'success') AS succeeded,
    count(*) FILTER (WHERE status IN ('failed', 'timed_out')) AS failed,
    percentile_cont(ARRAY[0.5, 0.95]) WITHIN GROUP (ORDER BY duration_ms) AS durations_ms
"""
_COUNTED = f"""
    WITH counted AS (
        SELECT id, status, trigger, workflow_id, workflow_name, duration_ms FROM execution
         WHERE {{where}} AND id >= ${{low}} AND id < ${{high}} ORDER BY id DESC LIMIT ${{most}}
    )
    SELECT grouping(status, trigger, workflow_id) AS kind, status, trigger, workflow_id,
           max(workflow_name) AS workflow_name, min(id::text) AS oldest, {_MEASURES}
      FROM counted GROUP BY GROUPING SETS ((), (status), (trigger), (workflow_id))
"""
_ALL, _BY_STATUS, _BY_TRIGGER, _BY_WORKFLOW = 0b111, 0b011, 0b101, 0b110


@dataclass(frozen=True, slots=True)
class Open:
    """Executions of all tenants that are not over: counts by status, and the age of the oldest that is due."""

    counts: dict[str, int]
    oldest_pending_s: float
    workflows: dict[str, int]
    running_workflows: int


@dataclass(frozen=True, slots=True)
class Measures:
    """Of a group of executions. Durations are of those that have ended, None if none has."""

    count: int = 0
    succeeded: int = 0
    failed: int = 0
    p50_ms: float | None = None
    p95_ms: float | None = None


@dataclass(frozen=True, slots=True)
class Group:
    """Executions of one workflow."""

    workflow_id: UUID
    workflow_name: str
    measures: Measures


@dataclass(slots=True)
class Counted:
    """What was counted: the newest executions of a time, `oldest` being the last of them; None if there were none."""

    total: Measures = field(default_factory=Measures)
    by_status: dict[str, int] = field(default_factory=dict[str, int])
    by_trigger: dict[str, int] = field(default_factory=dict[str, int])
    workflows: list[Group] = field(default_factory=list[Group])
    oldest: UUID | None = None


class Totals:
    """Sums over `execution` and `workflow`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @asynccontextmanager
    async def _bounded(self, *tenants: TenantId, purpose: Purpose | None = None) -> AsyncGenerator[Connection]:
        """A transaction whose statements end in `LONGEST_S`. Raises: SystemFault if one does not."""
        try:
            async with self._database.transaction(tenants, purpose=purpose) as transaction:
                await transaction.execute(_BOUND)
                yield transaction
        except asyncpg.QueryCanceledError:
            raise SystemFault(f"the executions could not be counted within {LONGEST_S} s: ask for less time") from None

    async def open(self) -> Open:
        """For the metrics of the installation alone. Raises: SystemFault."""
        async with self._bounded(purpose="metrics") as transaction:
            states = await transaction.fetch(_OPEN)
            running = await transaction.fetchval(_RUNNING)
            workflows = await transaction.fetch(_WORKFLOWS)
        ages = [record["age_s"] for record in states if record["status"] == "pending"]
        counts = {record["status"]: record["count"] for record in states}
        return Open(counts, max(ages, default=0.0), {row["status"]: row["count"] for row in workflows}, running)

    async def running(
        self, tenant: TenantId, *, workflow_id: UUID | None, sight: Sight = EVERYTHING, most: int
    ) -> dict[str, int]:
        """Executions of a tenant that are not over, by status, counted up to `most`."""
        where, arguments = _where(tenant, workflow_id, sight)
        query = _OWN_OPEN.format(where=where, most=len(arguments) + 1)
        async with self._bounded(tenant) as transaction:
            return {row["status"]: row["count"] for row in await transaction.fetch(query, *arguments, most)}

    async def counted(
        self,
        tenant: TenantId,
        start: datetime,
        end: datetime,
        *,
        workflow_id: UUID | None = None,
        sight: Sight = EVERYTHING,
        most: int,
    ) -> Counted:
        """Measures of the newest `most` executions that were made from `start` up to `end`.

        By the ids, so that only months of that time are read.
        """
        where, arguments = _where(tenant, workflow_id, sight)
        number = len(arguments)
        query = _COUNTED.format(where=where, low=number + 1, high=number + 2, most=number + 3)
        async with self._bounded(tenant) as transaction:
            records = await transaction.fetch(query, *arguments, _first_id(start), _first_id(end), most)
        return _counted(records)


def _counted(records: Sequence[asyncpg.Record]) -> Counted:
    counted = Counted()
    for record in records:
        kind = record["kind"]
        if kind == _BY_STATUS:
            counted.by_status[record["status"]] = record["count"]
        elif kind == _BY_TRIGGER:
            counted.by_trigger[record["trigger"]] = record["count"]
        elif kind == _BY_WORKFLOW:
            counted.workflows.append(Group(record["workflow_id"], record["workflow_name"], _measures(record)))
        elif record["oldest"] is not None:
            counted.total, counted.oldest = _measures(record), UUID(record["oldest"])
    return counted


def _measures(record: asyncpg.Record) -> Measures:
    p50, p95 = record["durations_ms"] or (None, None)
    return Measures(record["count"], record["succeeded"], record["failed"], p50, p95)


def _where(tenant: TenantId, workflow_id: UUID | None, sight: Sight) -> tuple[str, list[Any]]:
    conditions, arguments = ["tenant_id = $1"], list[Any]([tenant.uuid])
    for fragment, argument in (("workflow_id = ${}", workflow_id), sight.condition("workflow_id")):
        if argument is not None:
            arguments.append(argument)
            conditions.append(fragment.format(len(arguments)))
    return " AND ".join(conditions), arguments


def _first_id(at: datetime) -> UUID:
    """The least id of a UUIDv7's time."""
    return UUID(int=max(0, int(at.timestamp() * 1000)) << 80)
