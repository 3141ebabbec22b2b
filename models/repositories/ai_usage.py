"""Sums over the ledger of AI calls, for people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import asyncpg

from models.repositories.ai_calls import Applying, Bounds, used_of
from models.rows import NodeKey
from models.session import Database
from models.tables import AiBudget
from models.tenancy import TenantId

_SUMS = """
    count(*) FILTER (WHERE status = 'settled') AS calls,
    count(*) FILTER (WHERE status = 'released' AND error_code IS DISTINCT FROM 'TAKEN_OVER') AS failed_calls,
    coalesce(sum(input_tokens), 0)::bigint AS input_tokens,
    coalesce(sum(output_tokens), 0)::bigint AS output_tokens,
    coalesce(sum(images), 0)::bigint AS images,
    CASE WHEN count(*) FILTER (WHERE status = 'settled' AND cost IS NOT NULL) > 0 THEN sum(cost) END AS cost
"""
_OF_EXECUTION = f"""
    SELECT node_path, iteration, generation, model, provider, {_SUMS} FROM ai_call
     WHERE tenant_id = $1 AND execution_id = $2 AND ($3::text[] IS NULL OR node_path = ANY ($3))
     GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5
"""
_GROUPS = {
    "workflow": "workflow_id::text",
    "execution": "execution_id::text",
    "day": "to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD')",
    "model": "model",
    "provider": "provider",
    "node": "node_path",
    "total": "'total'",
}
_GROUPED = f"""
    SELECT {{group}} AS key, {_SUMS} FROM ai_call
     WHERE tenant_id = $1 AND ($2::uuid IS NULL OR workflow_id = $2) AND created_at >= $3 AND created_at < $4
     GROUP BY 1 ORDER BY 1 LIMIT $5
"""


@dataclass(frozen=True, slots=True)
class Sums:
    """What calls used. `calls` were answered, `failed_calls` came to nothing. `cost` None: no model had a price."""

    calls: int = 0
    failed_calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    images: int = 0
    cost: Decimal | None = None

    def __add__(self, other: Sums) -> Sums:
        costs = [cost for cost in (self.cost, other.cost) if cost is not None]
        return Sums(
            self.calls + other.calls,
            self.failed_calls + other.failed_calls,
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            self.images + other.images,
            sum(costs, Decimal(0)) if costs else None,
        )


@dataclass(frozen=True, slots=True)
class NodeUsage:
    """What one node execution used of one model, over all its attempts."""

    key: NodeKey
    model: str
    provider: str
    sums: Sums


@dataclass(frozen=True, slots=True)
class Used:
    """What is spent of a budget in its present period, and what running calls hold."""

    tokens: int
    cost: Decimal
    reserved_tokens: int
    reserved_cost: Decimal


class AiUsage:
    """The tables `ai_call` and `ai_spend`, read only."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def of_execution(
        self, tenant: TenantId, execution_id: UUID, paths: Sequence[str] | None = None
    ) -> list[NodeUsage]:
        """What each node execution used, by path, iteration, generation and model; `paths` narrows it to some nodes."""
        async with self._database.transaction(tenant) as transaction:
            records = await transaction.fetch(_OF_EXECUTION, tenant.uuid, execution_id, paths)
        return [_node_usage(record) for record in records]

    async def grouped(
        self, tenant: TenantId, group_by: str, start: datetime, end: datetime, *, workflow_id: UUID | None, limit: int
    ) -> list[tuple[str, Sums]]:
        """Sums of the calls made from `start` up to `end` by one of `GROUPS`, in the order of its keys."""
        query = _GROUPED.format(group=_GROUPS[group_by])
        async with self._database.transaction(tenant) as transaction:
            records = await transaction.fetch(query, tenant.uuid, workflow_id, start, end, limit)
        return [(record["key"], _sums(record)) for record in records]

    async def of_budget(self, tenant: TenantId, budget: AiBudget) -> Used:
        """What is used of a budget now."""
        applying = Applying(budget.scope, budget.key, budget.period, Bounds(budget.tokens, budget.cost))
        async with self._database.transaction(tenant) as transaction:
            used: dict[str, Any] = await used_of(transaction, tenant, applying, datetime.now(UTC))
        return Used(**used)


GROUPS = tuple(_GROUPS)


def _sums(record: asyncpg.Record) -> Sums:
    names = ("calls", "failed_calls", "input_tokens", "output_tokens", "images", "cost")
    return Sums(*(record[name] for name in names))


def _node_usage(record: asyncpg.Record) -> NodeUsage:
    key = (record["node_path"], tuple(record["iteration"]), record["generation"])
    return NodeUsage(key, record["model"], record["provider"], _sums(record))
