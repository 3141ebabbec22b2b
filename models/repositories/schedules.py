"""Schedules: people's rules of when workflows start, and what the scheduler reads and keeps of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import chain, count
from typing import Any
from uuid import UUID

import asyncpg

from engine.errors import Conflict, NotFound
from models.ids import new_id
from models.repositories.grants import EVERYTHING, Sight
from models.repositories.records import Page, columns_of, page_of, row_of
from models.session import Database
from models.tables import Schedule
from models.tenancy import TenantId

_ALL = columns_of(Schedule)
_RULE = (
    "workflow_id, name, source, trigger_node, cron, every_s, at, timezone, jitter_s, overlap, catchup_window_s,"
    " starts_at, ends_at, max_runs, enabled, input, started_by"
)
_PLACES = ", ".join(f"${number}" for number in range(3, 20))
_INSERT = f"INSERT INTO schedule (tenant_id, id, {_RULE}) VALUES ($1, $2, {_PLACES}) RETURNING {_ALL}"
_UPDATE = f"""
    UPDATE schedule SET ({_RULE}) = ROW({_PLACES}), revision = revision + 1, updated_at = now()
     WHERE tenant_id = $1 AND id = $2 AND ($20::integer IS NULL OR revision = $20) RETURNING {_ALL}
"""
_PAUSE = f"""
    UPDATE schedule SET paused = $3, revision = revision + 1, updated_at = now()
     WHERE tenant_id = $1 AND id = $2 RETURNING {_ALL}
"""
_GET = f"SELECT {_ALL} FROM schedule WHERE tenant_id = $1 AND id = $2"
_DELETE = "DELETE FROM schedule WHERE tenant_id = $1 AND id = $2 RETURNING 1"
_LIST = f"""
    SELECT {_ALL} FROM schedule WHERE tenant_id = $1 AND ($2::uuid IS NULL OR workflow_id = $2)
       AND ($3::uuid IS NULL OR id < $3) AND {{seen}} ORDER BY id DESC LIMIT $4
"""
# A timer's row follows its document; what people paused stays paused.
_UPSERT_TIMER = f"""
    INSERT INTO schedule AS s (tenant_id, id, {_RULE}) VALUES ($1, $2, {_PLACES})
    ON CONFLICT (tenant_id, id) DO UPDATE SET ({_RULE}) = ROW({_PLACES}), revision = s.revision + 1, updated_at = now()
    WHERE (s.cron, s.every_s, s.at, s.timezone, s.enabled, s.input::text, s.name)
          IS DISTINCT FROM ($7::text, $8::float8, $9::timestamptz, $10::text, $17::boolean, $18::json::text, $4::text)
"""
_NAMES = "SELECT name FROM schedule WHERE tenant_id = $1 AND workflow_id = $2 AND source = 'api'"
_DROP_TIMERS = """
    DELETE FROM schedule WHERE tenant_id = $1 AND workflow_id = $2 AND source = 'timer' AND NOT id = ANY ($3)
"""
_DESIRED = f"""
    SELECT {", ".join(f"s.{name}" for name in _ALL.split(", "))}, w.name AS workflow_name FROM schedule s
      JOIN workflow w ON w.tenant_id = s.tenant_id AND w.id = s.workflow_id
     WHERE w.status = 'active' AND w.published_version IS NOT NULL
       AND ($1::uuid IS NULL OR (s.tenant_id = $1 AND s.workflow_id = $2))
"""
_TIMERS = """
    SELECT w.tenant_id, w.id AS workflow_id, w.status, (
        SELECT json_agg(n) FROM json_array_elements(v.spec->'nodes') n WHERE n->>'type' = 'timer') AS timers
      FROM workflow w
      LEFT JOIN workflow_version v
             ON v.tenant_id = w.tenant_id AND v.workflow_id = w.id AND v.number = w.published_version
     WHERE ($1::uuid IS NULL OR (w.tenant_id = $1 AND w.id = $2))
       AND ($3::uuid IS NULL OR (w.tenant_id, w.id) > ($3, $4))
     ORDER BY w.tenant_id, w.id LIMIT $5
"""


@dataclass(frozen=True, slots=True)
class Rule:
    """What a schedule says; exactly one of `cron`, `every_s` and `at`. `input` is a Value."""

    workflow_id: UUID
    name: str
    source: str = "api"
    trigger_node: str | None = None
    cron: str | None = None
    every_s: float | None = None
    at: datetime | None = None
    timezone: str = "UTC"
    jitter_s: float = 0.0
    overlap: str = "skip"
    catchup_window_s: float = 3600.0
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    max_runs: int | None = None
    enabled: bool = True
    input: dict[str, Any] | None = None
    started_by: str = ""

    def as_arguments(self) -> tuple[Any, ...]:
        return (
            self.workflow_id, self.name, self.source, self.trigger_node, self.cron, self.every_s, self.at,
            self.timezone, self.jitter_s, self.overlap, self.catchup_window_s, self.starts_at, self.ends_at,
            self.max_runs, self.enabled, self.input, self.started_by,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Desired:
    """A schedule that Temporal should have, with the name of its workflow."""

    schedule: Schedule
    workflow_name: str


@dataclass(frozen=True, slots=True)
class Timers:
    """The timer nodes of a workflow's published version, as the document has them; none if it is not active."""

    tenant_id: UUID
    workflow_id: UUID
    nodes: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])


class Schedules:
    """The table `schedule`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(self, tenant: TenantId, rule: Rule) -> Schedule:
        """Raises: Conflict if the workflow has a schedule of that name."""
        try:
            async with self._database.transaction(tenant) as transaction:
                record = await transaction.fetchrow(_INSERT, tenant.uuid, new_id(), *rule.as_arguments())
        except asyncpg.UniqueViolationError:
            raise _name_taken(rule.name) from None
        assert record is not None
        return row_of(Schedule, record)

    async def get(self, tenant: TenantId, schedule_id: UUID) -> Schedule:
        """Raises: NotFound."""
        async with self._database.transaction(tenant) as transaction:
            record = await transaction.fetchrow(_GET, tenant.uuid, schedule_id)
        return _found(record, schedule_id)

    async def list(
        self,
        tenant: TenantId,
        *,
        workflow_id: UUID | None = None,
        sight: Sight = EVERYTHING,
        before: UUID | None = None,
        limit: int = 50,
    ) -> Page[Schedule]:
        """Schedules of workflows that `sight` shows, newest first."""
        condition, seen_by = sight.condition("workflow_id")
        seen = "true" if seen_by is None else condition.format(5)
        arguments = [tenant.uuid, workflow_id, before, limit + 1, *([] if seen_by is None else [seen_by])]
        async with self._database.transaction(tenant) as transaction:
            records = await transaction.fetch(_LIST.format(seen=seen), *arguments)
        return page_of([row_of(Schedule, record) for record in records], limit)

    async def replace(
        self, tenant: TenantId, schedule_id: UUID, rule: Rule, *, expected_revision: int | None = None
    ) -> Schedule:
        """Raises: NotFound; Conflict if it has changed since `expected_revision`, or the name is taken."""
        arguments = (tenant.uuid, schedule_id, *rule.as_arguments(), expected_revision)
        try:
            async with self._database.transaction(tenant) as transaction:
                record = await transaction.fetchrow(_UPDATE, *arguments)
                if record is None and await transaction.fetchrow(_GET, tenant.uuid, schedule_id) is not None:
                    raise Conflict("the schedule has changed meanwhile: read it again", code="VERSION_CONFLICT")
        except asyncpg.UniqueViolationError:
            raise _name_taken(rule.name) from None
        return _found(record, schedule_id)

    async def set_paused(self, tenant: TenantId, schedule_id: UUID, *, paused: bool) -> Schedule:
        """Raises: NotFound."""
        async with self._database.transaction(tenant) as transaction:
            record = await transaction.fetchrow(_PAUSE, tenant.uuid, schedule_id, paused)
        return _found(record, schedule_id)

    async def delete(self, tenant: TenantId, schedule_id: UUID) -> None:
        """Raises: NotFound."""
        async with self._database.transaction(tenant) as transaction:
            _found(await transaction.fetchrow(_DELETE, tenant.uuid, schedule_id), schedule_id, raw=True)

    # ---- for the scheduler alone

    async def keep_timers(self, tenant: TenantId, workflow_id: UUID, rules: Sequence[tuple[UUID, Rule]]) -> None:
        """Make the rows of a workflow's timer nodes these, and no others.

        A name that people's own schedule has taken gets a number behind it. Raises: Conflict if one takes it just now.
        """
        try:
            async with self._database.transaction(tenant) as transaction:
                kept = [identifier for identifier, _ in rules]
                await transaction.execute(_DROP_TIMERS, tenant.uuid, workflow_id, kept)
                records = await transaction.fetch(_NAMES, tenant.uuid, workflow_id) if rules else []
                for identifier, rule in _named_apart(rules, {record["name"] for record in records}):
                    await transaction.execute(_UPSERT_TIMER, tenant.uuid, identifier, *rule.as_arguments())
        except asyncpg.UniqueViolationError:
            raise _name_taken(", ".join(rule.name for _, rule in rules)) from None

    async def timers(
        self, workflow: tuple[UUID, UUID] | None = None, *, after: tuple[UUID, UUID] | None = None, limit: int = 500
    ) -> list[Timers]:
        """Timer nodes by workflow of every tenant, or of one (tenant, workflow)."""
        place = (*(workflow or (None, None)), *(after or (None, None)), limit)
        async with self._database.transaction(purpose="scheduler") as transaction:
            records = await transaction.fetch(_TIMERS, *place)
        return [
            Timers(row["tenant_id"], row["workflow_id"], (row["timers"] or []) if row["status"] == "active" else [])
            for row in records
        ]

    async def desired(self, workflow: tuple[UUID, UUID] | None = None) -> list[Desired]:
        """Schedules of active workflows with a published version, of every tenant or of one (tenant, workflow)."""
        async with self._database.transaction(purpose="scheduler") as transaction:
            records = await transaction.fetch(_DESIRED, *(workflow or (None, None)))
        return [_desired(record) for record in records]


def _named_apart(rules: Sequence[tuple[UUID, Rule]], taken: set[str]) -> Iterator[tuple[UUID, Rule]]:
    """The rules, each under a name that is not `taken`. Ids of nodes hold no brackets, so no two get the same."""
    for identifier, rule in rules:
        names = chain([rule.name], (f"{rule.name} ({number})" for number in count(2)))
        yield identifier, replace(rule, name=next(name for name in names if name not in taken))


def _desired(record: asyncpg.Record) -> Desired:
    fields = dict(record)
    name = fields.pop("workflow_name")
    return Desired(Schedule(**fields), name)


def _found(record: asyncpg.Record | None, schedule_id: UUID, *, raw: bool = False) -> Any:
    if record is None:
        raise NotFound(f"no schedule {schedule_id}")
    return None if raw else row_of(Schedule, record)


def _name_taken(name: str) -> Conflict:
    return Conflict(f"the workflow has a schedule {name!r} already", code="NAME_TAKEN")
