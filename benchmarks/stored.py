"""Executions that are on record already: many of them, made by PostgreSQL itself in the real tables."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from models.repositories.workflows import Workflows
from models.session import Database
from models.tenancy import TenantId

NODES = 10  # node executions of each execution
WORKFLOWS = 20
DAYS = 75  # over which ids are spread, from now on: months that have partitions
BATCH = 20_000

# A UUIDv7 of the time `at`; `mark` makes it one of a kind.
_ID = """
    (lpad(to_hex((extract(epoch FROM {at}) * 1000)::bigint), 12, '0') || '7' || substr(md5({mark}), 1, 3)
        || 'b' || substr(md5({mark}), 4, 15))::uuid
"""
# One in a hundred has failed, one in a thousand carries the label `batch`; the newest of all is the last.
_EXECUTIONS = f"""
INSERT INTO execution (tenant_id, id, workflow_id, version_id, workflow_name, status, trigger, input, output,
                       node_total, metadata, started_by, created_at, started_at, finished_at, duration_ms,
                       expected_count)
SELECT $1, {_ID.format(at="t.at", mark="'e' || n")}, w.id, w.version, 'stored',
       CASE WHEN n % 100 = 7 THEN 'failed' ELSE 'success' END, CASE WHEN n % 10 = 0 THEN 'schedule' ELSE 'manual' END,
       '{{"v": {{"n": 1}}, "n": 8}}'::json, '{{"v": {{"ok": true}}, "n": 12}}'::json, {NODES},
       CASE WHEN n % 1000 = 3 THEN jsonb_build_object('batch', 'b' || n % 5000) ELSE '{{}}' END, 'person ' || n % 50,
       t.at, t.at, t.at + interval '1 s' * (n % 977) / 100, (n % 977) * 10, {NODES}
  FROM generate_series($2::bigint, $3::bigint) n
  CROSS JOIN LATERAL (SELECT now() + interval '{DAYS} days' * n / $4::bigint AS at) t
  JOIN unnest($5::uuid[], $6::uuid[]) WITH ORDINALITY AS w (id, version, number) ON w.number = 1 + n % {WORKFLOWS}
RETURNING id
"""
_NODE_EXECUTIONS = f"""
INSERT INTO node_execution (tenant_id, execution_id, node_path, iteration, generation, node_type, status, attempts,
                            started_at, finished_at, duration_ms, output, digest, worker)
SELECT $1, e.id, 'n' || k, '{{}}', 0, 'transform', 'success', 1, now(), now(), 1.5,
       '{{"v": {{"id": 1, "parents": [1, 2, 3]}}, "n": 30}}'::json, k, 'worker:1'
  FROM unnest($2::uuid[]) e (id) CROSS JOIN generate_series(0, {NODES - 1}) k
"""
_LINES = """
INSERT INTO execution_log (tenant_id, execution_id, node_path, level, message)
SELECT $1, e.id, 'n' || k, CASE WHEN k = 7 THEN 'error' ELSE 'info' END, 'order ' || k || ' was read'
  FROM unnest($2::uuid[]) e (id) CROSS JOIN generate_series(0, 999) k
"""


@dataclass(slots=True)
class Stored:
    """What stands there; `ids` are those of the last batch."""

    tenant: TenantId
    workflows: list[UUID]
    versions: list[UUID]
    count: int = 0
    ids: list[UUID] | None = None

    @property
    def last(self) -> UUID:
        assert self.ids
        return self.ids[-1]


async def begin(database: Database, tenant: TenantId) -> Stored:
    """Workflows for executions to belong to."""
    stored = Stored(tenant, [], [])
    for number in range(WORKFLOWS):
        document: dict[str, Any] = {
            "name": f"stored {number}",
            "nodes": [{"id": "n0", "type": "transform", "params": {"mapping": {"a": 1}}}],
            "edges": [],
        }
        saved = await Workflows(database).create(tenant, document)
        stored.workflows.append(saved.workflow.id)
        stored.versions.append(saved.version.id)
    return stored


async def fill(database: Database, stored: Stored, total: int, *, most: int) -> None:
    """Add executions until there are `total`; `most` is how many there will ever be, over which the time is spread."""
    while stored.count < total:
        last = min(total, stored.count + BATCH)
        async with database.transaction(stored.tenant) as transaction:
            made = await transaction.fetch(
                _EXECUTIONS, stored.tenant.uuid, stored.count + 1, last, most, stored.workflows, stored.versions
            )
            ids = [row["id"] for row in made]
            await transaction.execute(_NODE_EXECUTIONS, stored.tenant.uuid, ids)
            await transaction.execute(_LINES, stored.tenant.uuid, ids[-1:])
        stored.count, stored.ids = last, ids


async def explain(database: Database, tenant: TenantId, query: str, *arguments: Any) -> str:
    """The plan of a query as text, as it was run, with the buffers it read."""
    async with database.transaction(tenant) as transaction:
        rows = await transaction.fetch(f"EXPLAIN (ANALYZE, BUFFERS, COSTS OFF) {query}", *arguments)
    return "\n".join(row[0] for row in rows)
