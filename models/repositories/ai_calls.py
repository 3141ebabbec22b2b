"""The ledger of AI calls: room reserved in every budget that applies, settled with the real numbers, or released.

Whoever reserves holds an advisory lock for each budget that applies until the transaction ends, always taken in one
order, so that the sums which it compares are those of all callers before it. Settling needs no lock: it moves a
reservation to what is spent in one commit.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from models.session import Connection, Database
from models.tenancy import TenantId

_BUDGETS = """
    SELECT scope, key, period, tokens, cost FROM ai_budget
     WHERE tenant_id = $1 AND (scope = 'tenant' OR (scope = 'workflow' AND key = $2))
"""
_TAKE_OVER = """
    UPDATE ai_call SET status = 'released', error_code = 'TAKEN_OVER', settled_at = now()
     WHERE tenant_id = $1 AND execution_id = $2 AND node_path = $3 AND iteration = $4 AND generation = $5
       AND status = 'reserved' AND (holder <> $6 OR attempt <> $7)
"""
_OPEN = "status = 'reserved' AND expires_at > now()"
# What an execution has called draws on its budget too. Nothing below it is older, which spares the older partitions.
_USED_BY_EXECUTION = f"""
    WITH RECURSIVE tree(id) AS (
        SELECT $2::uuid
         UNION
        SELECT e.id FROM execution e JOIN tree ON e.parent_execution_id = tree.id
         WHERE e.tenant_id = $1 AND e.id >= $2
    )
    SELECT coalesce(sum(input_tokens + output_tokens) FILTER (WHERE status = 'settled'), 0)::bigint AS tokens,
           coalesce(sum(cost) FILTER (WHERE status = 'settled'), 0) AS cost,
           coalesce(sum(reserved_tokens) FILTER (WHERE {_OPEN}), 0)::bigint AS reserved_tokens,
           coalesce(sum(reserved_cost) FILTER (WHERE {_OPEN}), 0) AS reserved_cost
      FROM ai_call WHERE tenant_id = $1 AND execution_id = ANY (ARRAY(SELECT id FROM tree))
"""
_USED_IN_PERIOD = f"""
    SELECT s.tokens, s.cost, r.tokens AS reserved_tokens, r.cost AS reserved_cost FROM
      (SELECT coalesce(sum(tokens), 0)::bigint AS tokens, coalesce(sum(cost), 0) AS cost FROM ai_spend
        WHERE tenant_id = $1 AND ($2::uuid IS NULL OR workflow_id = $2) AND ($3::date IS NULL OR day >= $3)) s,
      (SELECT coalesce(sum(reserved_tokens), 0)::bigint AS tokens, coalesce(sum(reserved_cost), 0) AS cost FROM ai_call
        WHERE tenant_id = $1 AND ($2::uuid IS NULL OR workflow_id = $2) AND {_OPEN}) r
"""
_INSERT = """
    INSERT INTO ai_call (tenant_id, id, execution_id, workflow_id, node_path, iteration, generation, attempt, ask,
                         holder, model, provider, reserved_tokens, reserved_cost, expires_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, now() + $15::interval)
"""
# Also a call that was taken over meanwhile: its worker lives after all, and what it used is used.
_SETTLE = """
    WITH settled AS (
        UPDATE ai_call SET status = 'settled', input_tokens = $3, output_tokens = $4, images = $5, cost = $6,
               error_code = $7, settled_at = now()
         WHERE tenant_id = $1 AND id = $2 AND status <> 'settled'
        RETURNING workflow_id, (created_at AT TIME ZONE 'UTC')::date AS day
    )
    INSERT INTO ai_spend AS s (tenant_id, workflow_id, day, calls, tokens, cost)
    SELECT $1, workflow_id, day, 1, $3 + $4, coalesce($6::numeric, 0) FROM settled
    ON CONFLICT (tenant_id, workflow_id, day) DO UPDATE SET
        calls = s.calls + 1, tokens = s.tokens + excluded.tokens, cost = s.cost + excluded.cost
"""
_RELEASE = """
    UPDATE ai_call SET status = 'released', error_code = $3, settled_at = now()
     WHERE tenant_id = $1 AND id = $2 AND status = 'reserved'
"""


@dataclass(frozen=True, slots=True)
class Bounds:
    """The most tokens and money; None does not bound."""

    tokens: int | None = None
    cost: Decimal | None = None

    @property
    def is_empty(self) -> bool:
        return self.tokens is None and self.cost is None


@dataclass(frozen=True, slots=True)
class Applying:
    """A budget that applies to a call; `key` is an execution's or a workflow's id."""

    scope: str
    key: str
    period: str
    bounds: Bounds

    @property
    def lock(self) -> str:
        return f"{self.scope}:{self.key}"


@dataclass(frozen=True, slots=True, kw_only=True)
class NewCall:
    """A call that is about to be made, and the most that it may use. `holder` is this worker process."""

    id: UUID
    execution_id: UUID
    workflow_id: UUID
    node_path: str
    iteration: tuple[int, ...]
    generation: int
    attempt: int
    ask: int
    holder: UUID
    model: str
    provider: str
    tokens: int
    cost: Decimal | None
    lasts: timedelta
    execution_budget: Bounds = Bounds()
    budgets_above: tuple[tuple[UUID, Bounds], ...] = ()  # of the executions that called this one
    unbounded: bool = False  # somebody has approved it: counted, but not refused


@dataclass(frozen=True, slots=True)
class Reserved:
    """The call may be made; `bounded`: some budget applies to it."""

    bounded: bool


@dataclass(frozen=True, slots=True)
class Shortage:
    """Why a call has no room: the budget, and what of it is used and reserved. Numbers are in `unit`."""

    budget: Applying
    unit: str
    limit: Decimal
    used: Decimal
    reserved: Decimal
    asked: Decimal
    frees_at: datetime | None


@dataclass(frozen=True, slots=True)
class Unpriced:
    """A budget in money applies, and the model has no price."""

    budget: Applying


@dataclass(frozen=True, slots=True)
class Settlement:
    """What a call really used. `cost` None: the model has no price."""

    input_tokens: int
    output_tokens: int
    cost: Decimal | None
    images: int = 0
    error_code: str | None = None


class AiCalls:
    """The tables `ai_call` and `ai_spend`, as those who call need them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def reserve(self, tenant: TenantId, call: NewCall) -> Reserved | Shortage | Unpriced:
        """Write the call down and keep room for it in every budget that applies; nothing is written if one has none.

        What other holders, or earlier attempts, still had reserved for the same node execution is released: they are
        gone. Raises: SystemFault.
        """
        async with self._database.transaction(tenant) as transaction:
            applying = await _budgets(transaction, tenant, call.workflow_id)
            if not call.execution_budget.is_empty:
                applying.append(Applying("execution", str(call.execution_id), "total", call.execution_budget))
            applying += [Applying("execution", str(above), "total", bounds) for above, bounds in call.budgets_above]
            for key in sorted({_lock_key(tenant, budget) for budget in applying}):
                await transaction.execute("SELECT pg_advisory_xact_lock($1)", key)
            await transaction.execute(
                _TAKE_OVER,
                *(tenant.uuid, call.execution_id, call.node_path, call.iteration, call.generation),
                *(call.holder, call.attempt),
            )
            for budget in applying if not call.unbounded else ():
                refusal = await _refusal(transaction, tenant, budget, call)
                if refusal is not None:
                    return refusal
            await transaction.execute(
                _INSERT,
                *(tenant.uuid, call.id, call.execution_id, call.workflow_id, call.node_path, call.iteration),
                *(call.generation, call.attempt, call.ask, call.holder, call.model, call.provider),
                *(call.tokens, call.cost or Decimal(0), call.lasts),
            )
        return Reserved(bounded=bool(applying))

    async def settle(self, tenant: TenantId, call_id: UUID, real: Settlement) -> None:
        """Put the real numbers in place of the reservation. Repeating it changes nothing. Raises: SystemFault."""
        async with self._database.transaction(tenant) as transaction:
            await transaction.execute(
                _SETTLE,
                *(tenant.uuid, call_id, real.input_tokens, real.output_tokens, real.images, real.cost),
                real.error_code,
            )

    async def release(self, tenant: TenantId, call_id: UUID, error_code: str | None) -> None:
        """Give the room back: the call came to nothing. Raises: SystemFault."""
        async with self._database.transaction(tenant) as transaction:
            await transaction.execute(_RELEASE, tenant.uuid, call_id, error_code)


def period_start(period: str, now: datetime) -> date | None:
    """The first day (UTC) of the period around `now`; None for `total`."""
    today = now.astimezone(UTC).date()
    return {"day": today, "month": today.replace(day=1)}.get(period)


def period_end(period: str, now: datetime) -> datetime | None:
    """When the period around `now` ends and its budget is free again; None for `total`."""
    first = period_start(period, now)
    if first is None:
        return None
    following = first + timedelta(days=1 if period == "day" else 32)
    if period == "month":
        following = following.replace(day=1)
    return datetime.combine(following, time(), UTC)


async def _budgets(transaction: Connection, tenant: TenantId, workflow_id: UUID) -> list[Applying]:
    records = await transaction.fetch(_BUDGETS, tenant.uuid, str(workflow_id))
    return [Applying(scope, key, period, Bounds(tokens, cost)) for scope, key, period, tokens, cost in records]


def _lock_key(tenant: TenantId, budget: Applying) -> int:
    digest = hashlib.blake2b(f"ai budget:{tenant}:{budget.lock}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)


async def _refusal(
    transaction: Connection, tenant: TenantId, budget: Applying, call: NewCall
) -> Shortage | Unpriced | None:
    bounds = budget.bounds
    if bounds.cost is not None and call.cost is None:
        return Unpriced(budget)
    now = datetime.now(UTC)
    used = await used_of(transaction, tenant, budget, now)
    units: Sequence[tuple[str, Decimal | int | None, Decimal | int]] = (
        ("tokens", bounds.tokens, call.tokens),
        ("cost", bounds.cost, call.cost or Decimal(0)),
    )
    for unit, limit, asked in units:
        if limit is None:
            continue
        spent, reserved = Decimal(used[unit]), Decimal(used[f"reserved_{unit}"])
        if spent + reserved + asked > limit:
            frees_at = period_end(budget.period, now)
            return Shortage(budget, unit, Decimal(limit), spent, reserved, Decimal(asked), frees_at)
    return None


async def used_of(transaction: Connection, tenant: TenantId, budget: Applying, now: datetime) -> dict[str, Any]:
    """`tokens` and `cost` that are spent of a budget, `reserved_tokens` and `reserved_cost` that running calls hold."""
    if budget.scope == "execution":
        record = await transaction.fetchrow(_USED_BY_EXECUTION, tenant.uuid, UUID(budget.key))
    else:
        workflow_id = UUID(budget.key) if budget.scope == "workflow" else None
        first = period_start(budget.period, now)
        record = await transaction.fetchrow(_USED_IN_PERIOD, tenant.uuid, workflow_id, first)
    assert record is not None
    return dict(record)
