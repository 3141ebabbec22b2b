"""Room in budgets for one call, and what became of it. The numbers of an answer are never lost for a short fault."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

from engine.activities.generation.estimates import Estimate
from engine.errors import BUDGET_EXCEEDED, INVALID_CONFIG, NodeError, SystemFault
from engine.nodes.generation.port import Call
from models.ids import new_id
from models.repositories.ai_calls import AiCalls, Applying, Bounds, NewCall, Settlement, Shortage, Unpriced
from models.repositories.ai_models import ModelFields
from models.session import Database
from models.tenancy import TenantId

SPARE_S = 60.0  # a reservation outlasts the call that it is for
REPEATS = 30
_log = logging.getLogger(__name__)


class Ledger:
    """The ledger of AI calls, as one worker process writes it."""

    def __init__(self, database: Database) -> None:
        self._calls = AiCalls(database)
        self._holder = uuid4()
        self._later: set[asyncio.Task[None]] = set()

    async def reserve(
        self, tenant: TenantId, call: Call, model: ModelFields, estimate: Estimate, lasts_s: float
    ) -> tuple[UUID, bool]:
        """Keep room for a call; its id in the ledger, and whether any budget bounds it.

        Raises: NodeError BUDGET_EXCEEDED, or INVALID_CONFIG if a budget in money meets a model without a price;
        SystemFault.
        """
        new = NewCall(
            id=new_id(),
            execution_id=UUID(call.execution_id),
            workflow_id=UUID(call.workflow_id),
            node_path=call.node_path,
            iteration=tuple(call.iteration),
            generation=call.generation,
            attempt=call.attempt,
            ask=call.ask,
            holder=self._holder,
            model=model.name,
            provider=model.provider,
            tokens=estimate.tokens,
            cost=estimate.cost,
            lasts=timedelta(seconds=lasts_s + SPARE_S),
            execution_budget=_bounds(call.budget),
            budgets_above=tuple((UUID(above), _bounds(budget)) for above, budget in call.budgets_above),
            unbounded=call.budget_approved,
        )
        answer = await self._calls.reserve(tenant, new)
        if isinstance(answer, Shortage):
            raise exceeded(answer, call, model)
        if isinstance(answer, Unpriced):
            raise _unpriced(answer.budget, model)
        return new.id, answer.bounded

    async def settle(self, tenant: TenantId, call_id: UUID, real: Settlement) -> None:
        """Write down what was used, later if PostgreSQL is away: the answer is here and paid for."""
        await self._write(lambda: self._calls.settle(tenant, call_id, real))

    async def release(self, tenant: TenantId, call_id: UUID, code: str) -> None:
        """Give the room back, later if PostgreSQL is away."""
        await self._write(lambda: self._calls.release(tenant, call_id, code))

    def soon(self, work: Coroutine[Any, Any, None]) -> None:
        """Do it beside the caller, who is being cancelled and may not wait."""
        task = asyncio.create_task(work)
        self._later.add(task)
        task.add_done_callback(self._later.discard)

    async def close(self, *, timeout_s: float = 5) -> None:
        """Let what is still to be written be written, for `timeout_s` at most."""
        if self._later:
            await asyncio.wait(self._later, timeout=timeout_s)
        for task in self._later:
            task.cancel()

    async def _write(self, write: Callable[[], Awaitable[None]]) -> None:
        try:
            await write()
        except SystemFault as fault:
            _log.warning("the ledger of AI calls is written later: %s", fault)
            self.soon(_repeated(write))


async def _repeated(write: Callable[[], Awaitable[None]]) -> None:
    for tries in range(REPEATS):
        await asyncio.sleep(min(5.0, 0.2 * 2**tries))
        try:
            return await write()
        except SystemFault:
            continue
    _log.error("the ledger of AI calls lacks the numbers of a call: PostgreSQL stayed away")
    return None


def exceeded(shortage: Shortage, call: Call, model: ModelFields) -> NodeError:
    """What a node is told for which there is no room; `awaits` says that people may let it pass."""
    budget, unit = shortage.budget, shortage.unit
    details = {
        "scope": budget.scope,
        "key": budget.key,
        "period": budget.period,
        "unit": unit,
        "limit": _plain(shortage.limit, unit),
        "used": _plain(shortage.used, unit),
        "reserved": _plain(shortage.reserved, unit),
        "asked": _plain(shortage.asked, unit),
        "frees_at": None if shortage.frees_at is None else shortage.frees_at.isoformat(),
        "model": model.name,
    }
    if call.on_budget == "approve":
        details["awaits"] = "approval"
    own = "this execution" if budget.key == call.execution_id else "the execution that called this one"
    whose = {"execution": own, "workflow": "the workflow", "tenant": "the tenant"}[budget.scope]
    span = "" if budget.period == "total" else f" a {budget.period}"
    message = (
        f"the budget of {whose}, {shortage.limit:f} {unit}{span}, has no room for {model.name}: "
        f"{shortage.used:f} used, {shortage.reserved:f} reserved by running calls, {shortage.asked:f} asked for"
    )
    if shortage.frees_at is not None:
        message += f"; it is free again at {shortage.frees_at.isoformat()}"
    return NodeError(message, code=BUDGET_EXCEEDED, details=details)


def _unpriced(budget: Applying, model: ModelFields) -> NodeError:
    message = f"a budget in money applies ({budget.scope}), and the AI model {model.name!r} has no prices: give it some"
    return NodeError(message, code=INVALID_CONFIG, details={"model": model.name, "scope": budget.scope})


def _plain(number: Decimal, unit: str) -> int | float:
    return int(number) if unit == "tokens" else float(number)


def _bounds(budget: Mapping[str, Any] | None) -> Bounds:
    given = budget or {}
    cost = given.get("cost")
    return Bounds(given.get("tokens"), None if cost is None else Decimal(str(cost)))
