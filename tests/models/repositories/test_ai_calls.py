"""The ledger and its budgets on a real PostgreSQL, from several connections at once."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID, uuid4

import pytest
import pytest_asyncio

from models.ids import new_id
from models.repositories.ai_budgets import AiBudgets
from models.repositories.ai_calls import (
    AiCalls,
    Bounds,
    NewCall,
    Reserved,
    Settlement,
    Shortage,
    Unpriced,
    period_end,
    period_start,
)
from models.repositories.ai_usage import AiUsage, Sums
from models.session import Database
from models.tenancy import TenantId, mint_tenant
from tests.models.server import PostgresServer

WORKFLOW = uuid4()
HOLDER = uuid4()


def call(execution: UUID | None = None, **more: object) -> NewCall:
    """A call that asks for 100 tokens and 0.50 of money."""
    known: dict[str, object] = {
        "id": new_id(),
        "execution_id": execution or uuid4(),
        "workflow_id": WORKFLOW,
        "node_path": f"n{uuid4().hex[:6]}",
        "iteration": (),
        "generation": 0,
        "attempt": 1,
        "ask": 0,
        "holder": HOLDER,
        "model": "small",
        "provider": "openai",
        "tokens": 100,
        "cost": Decimal("0.5"),
        "lasts": timedelta(minutes=1),
    }
    return NewCall(**{**known, **more})  # pyright: ignore[reportArgumentType]


@pytest_asyncio.fixture
async def other_database(postgres: PostgresServer) -> AsyncIterator[Database]:
    """As another worker process has one."""
    opened = await Database.open(postgres.url("structforge_app", "structforge"), pool_size=5)
    yield opened
    await opened.close()


async def test_twenty_parallel_calls_of_two_workers_against_room_for_twelve_get_exactly_twelve(
    database: Database, other_database: Database, tenant: TenantId
) -> None:
    await AiBudgets(database).create(tenant, WORKFLOW, "day", tokens=1200, cost=None)
    workers = [AiCalls(database), AiCalls(other_database)]
    answers = await asyncio.gather(*(workers[n % 2].reserve(tenant, call()) for n in range(20)))
    assert Counter(type(answer) for answer in answers) == {Reserved: 12, Shortage: 8}
    [refused, *_] = [answer for answer in answers if isinstance(answer, Shortage)]
    assert (refused.unit, refused.limit, refused.used, refused.reserved, refused.asked) == (
        "tokens",
        1200,
        0,
        1200,
        100,
    )
    assert refused.frees_at is not None
    assert refused.frees_at > datetime.now(UTC)


@pytest.mark.parametrize(
    ("bounds", "runs"),
    [
        (Bounds(tokens=1299), 12),  # 12 * 100 = 1200, the 13th would need 1300
        (Bounds(tokens=1300), 13),
        (Bounds(cost=Decimal("2.4")), 4),  # 4 * 0.50 = 2.00, the 5th would need 2.50
        (Bounds(tokens=1000, cost=Decimal("2.5")), 5),  # both hold, and the money ends first
    ],
)
async def test_budget_of_an_execution_lets_as_many_run_as_fit(
    database: Database, tenant: TenantId, bounds: Bounds, runs: int
) -> None:
    execution, calls = uuid4(), AiCalls(database)
    answers = await asyncio.gather(
        *(calls.reserve(tenant, call(execution, execution_budget=bounds)) for _ in range(20))
    )
    assert sum(isinstance(answer, Reserved) for answer in answers) == runs
    assert await calls.reserve(tenant, call(execution_budget=bounds)) == Reserved(bounded=True), "another execution"


async def test_real_numbers_replace_the_reservation_and_make_room(database: Database, tenant: TenantId) -> None:
    execution, calls = uuid4(), AiCalls(database)
    bounds = Bounds(tokens=150)
    first = call(execution, execution_budget=bounds)
    assert isinstance(await calls.reserve(tenant, first), Reserved)
    assert isinstance(await calls.reserve(tenant, call(execution, execution_budget=bounds)), Shortage)
    await calls.settle(tenant, first.id, Settlement(30, 20, Decimal("0.1")))
    await calls.settle(tenant, first.id, Settlement(30, 20, Decimal("0.1")))  # as after a lost answer of PostgreSQL
    second = call(execution, execution_budget=bounds)
    assert isinstance(await calls.reserve(tenant, second), Reserved), "50 used + 100 asked = 150"
    await calls.settle(tenant, second.id, Settlement(100, 40, Decimal("0.4")))  # more than it had reserved
    refused = await calls.reserve(tenant, call(execution, execution_budget=bounds))
    assert isinstance(refused, Shortage)
    assert (refused.used, refused.reserved) == (190, 0)


async def test_released_and_expired_reservations_hold_no_room(database: Database, tenant: TenantId) -> None:
    calls, bounds, execution = AiCalls(database), Bounds(tokens=100), uuid4()
    failed = call(execution, execution_budget=bounds)
    await calls.reserve(tenant, failed)
    await calls.release(tenant, failed.id, "EXTERNAL_ERROR")
    dead = call(execution, execution_budget=bounds, lasts=timedelta(seconds=-1))
    assert isinstance(await calls.reserve(tenant, dead), Reserved)
    assert isinstance(await calls.reserve(tenant, call(execution, execution_budget=bounds)), Reserved)
    assert isinstance(await calls.reserve(tenant, call(execution, execution_budget=bounds)), Shortage)


@pytest.mark.parametrize("later", [{"holder": uuid4()}, {"attempt": 2}, {"holder": uuid4(), "attempt": 2}])
async def test_next_try_of_a_node_takes_over_what_a_dead_worker_had_reserved(
    database: Database, tenant: TenantId, later: dict[str, object]
) -> None:
    calls, execution = AiCalls(database), uuid4()
    place = {"node_path": "ask", "iteration": (3,), "execution_budget": Bounds(tokens=100)}
    dead = call(execution, **place)
    await calls.reserve(tenant, dead)
    assert isinstance(await calls.reserve(tenant, call(execution, **{**place, "iteration": (4,)})), Shortage)
    heir = call(execution, **{**place, **later})
    assert isinstance(await calls.reserve(tenant, heir), Reserved)
    await calls.settle(tenant, dead.id, Settlement(10, 5, None))  # its worker was not dead after all: it is paid for
    await calls.settle(tenant, heir.id, Settlement(10, 5, None))
    [used] = await AiUsage(database).of_execution(tenant, execution)
    assert (used.sums.calls, used.sums.input_tokens, used.sums.output_tokens) == (2, 20, 10)


async def test_two_calls_of_one_attempt_do_not_take_over_each_other(database: Database, tenant: TenantId) -> None:
    calls, execution, bounds = AiCalls(database), uuid4(), Bounds(tokens=200)
    for ask in range(2):
        one = call(execution, node_path="ask", ask=ask, execution_budget=bounds)
        assert isinstance(await calls.reserve(tenant, one), Reserved)
    third = call(execution, node_path="ask", ask=2, execution_budget=bounds)
    assert isinstance(await calls.reserve(tenant, third), Shortage)


async def test_all_budgets_that_apply_must_have_room_and_the_refused_call_holds_none(
    database: Database, tenant: TenantId
) -> None:
    budgets, calls, other = AiBudgets(database), AiCalls(database), uuid4()
    await budgets.create(tenant, None, "month", tokens=250, cost=None)
    await budgets.create(tenant, WORKFLOW, "total", tokens=150, cost=None)
    assert isinstance(await calls.reserve(tenant, call()), Reserved)
    refused = await calls.reserve(tenant, call())
    assert isinstance(refused, Shortage)
    assert (refused.budget.scope, refused.budget.key, refused.frees_at) == ("workflow", str(WORKFLOW), None)
    assert isinstance(await calls.reserve(tenant, call(workflow_id=other)), Reserved), "200 of the tenant's 250"
    refused = await calls.reserve(tenant, call(workflow_id=other))
    assert isinstance(refused, Shortage)
    assert refused.budget.scope == "tenant"
    assert isinstance(await calls.reserve(tenant, call(unbounded=True)), Reserved), "somebody has approved it"


async def test_parallel_calls_under_several_budgets_do_not_deadlock_and_hold_all_bounds(
    database: Database, other_database: Database, tenant: TenantId
) -> None:
    workflows, executions = [uuid4() for _ in range(3)], [uuid4() for _ in range(4)]
    budgets = AiBudgets(database)
    await budgets.create(tenant, None, "day", tokens=None, cost=Decimal(10))  # room for 20
    for workflow in workflows:
        await budgets.create(tenant, workflow, "day", tokens=800, cost=None)  # room for 8
        await budgets.create(tenant, workflow, "month", tokens=700, cost=None)  # room for 7
    stores = [AiCalls(database), AiCalls(other_database)]

    async def one(number: int) -> bool:
        more = {"workflow_id": workflows[number % 3], "execution_budget": Bounds(tokens=1000)}
        new = call(executions[number % 4], **more)
        return isinstance(await stores[number % 2].reserve(tenant, new), Reserved)

    done = await asyncio.gather(*(one(number) for number in range(60)))
    assert sum(done) == 20
    for workflow in range(3):
        assert sum(done[workflow::3]) <= 7


async def test_budget_in_money_refuses_a_model_whose_price_is_not_known(database: Database, tenant: TenantId) -> None:
    calls = AiCalls(database)
    answer = await calls.reserve(tenant, call(cost=None, execution_budget=Bounds(cost=Decimal(1))))
    assert isinstance(answer, Unpriced)
    assert isinstance(await calls.reserve(tenant, call(cost=None, execution_budget=Bounds(tokens=100))), Reserved)


async def test_sums_by_execution_workflow_day_and_model_are_exact(database: Database, tenant: TenantId) -> None:
    calls, usage, execution, workflow = AiCalls(database), AiUsage(database), uuid4(), uuid4()
    used = [  # model, tokens in, tokens out, money
        ("small", 10, 1, Decimal("0.000001")),
        ("small", 20, 2, Decimal("0.000002")),
        ("large", 300, 30, Decimal("0.03")),
        ("free", 7, 7, None),
    ]
    for attempt, (model, given, made, cost) in enumerate(used, 1):
        one = call(execution, workflow_id=workflow, node_path="ask", model=model, attempt=attempt)
        await calls.reserve(tenant, one)
        await calls.settle(tenant, one.id, Settlement(given, made, cost))
    failed = call(execution, workflow_id=workflow, node_path="ask", model="large", attempt=5)
    await calls.reserve(tenant, failed)
    await calls.release(tenant, failed.id, "TIMEOUT")

    nodes = await usage.of_execution(tenant, execution)
    assert {node.model: node.sums for node in nodes} == {
        "free": Sums(1, 0, 7, 7, 0, None),
        "large": Sums(1, 1, 300, 30, 0, Decimal("0.03")),
        "small": Sums(2, 0, 30, 3, 0, Decimal("0.000003")),
    }
    now = datetime.now(UTC)
    span = (now - timedelta(hours=1), now + timedelta(hours=1))
    whole = Sums(4, 1, 337, 40, 0, Decimal("0.030003"))
    for group, key in (("total", "total"), ("workflow", str(workflow)), ("execution", str(execution)), ("node", "ask")):
        assert await usage.grouped(tenant, group, *span, workflow_id=None, limit=10) == [(key, whole)]
    days = await usage.grouped(tenant, "day", *span, workflow_id=workflow, limit=10)
    assert sum((sums for _, sums in days), Sums()) == whole
    assert await usage.grouped(tenant, "total", *span, workflow_id=uuid4(), limit=10) == []
    budget = await AiBudgets(database).create(tenant, workflow, "month", tokens=1, cost=None)
    spent = await usage.of_budget(tenant, budget)
    assert (spent.tokens, spent.cost, spent.reserved_tokens) == (377, Decimal("0.030003"), 0)


async def test_parallel_settlements_of_one_workflow_lose_nothing(database: Database, tenant: TenantId) -> None:
    calls, workflow = AiCalls(database), uuid4()
    made = [call(workflow_id=workflow) for _ in range(30)]
    await asyncio.gather(*(calls.reserve(tenant, one) for one in made))
    await asyncio.gather(*(calls.settle(tenant, one.id, Settlement(2, 1, Decimal("0.1"))) for one in made))
    budget = await AiBudgets(database).create(tenant, workflow, "total", tokens=1, cost=None)
    spent = await AiUsage(database).of_budget(tenant, budget)
    assert (spent.tokens, spent.cost) == (90, Decimal("3.0"))


async def test_another_tenant_sees_nothing_and_its_budgets_do_not_count(database: Database, tenant: TenantId) -> None:
    stranger, execution, calls = mint_tenant(uuid4()), uuid4(), AiCalls(database)
    await AiBudgets(database).create(tenant, None, "day", tokens=100, cost=None)
    mine = call(execution)
    assert isinstance(await calls.reserve(tenant, mine), Reserved)
    assert await calls.reserve(stranger, replace(mine, id=new_id())) == Reserved(bounded=False)
    await calls.settle(stranger, mine.id, Settlement(1_000_000, 0, None))
    await calls.release(stranger, mine.id, None)
    assert isinstance(await calls.reserve(tenant, call()), Shortage), "its reservation still stands"
    assert [node.sums.calls for node in await AiUsage(database).of_execution(tenant, execution)] == [0]
    assert (await AiBudgets(database).list(stranger)).items == []
    async with database.transaction(stranger) as transaction:
        for table in ("ai_call", "ai_spend", "ai_budget", "ai_model"):
            count = await transaction.fetchval(f"SELECT count(*) FROM {table} WHERE tenant_id = $1", tenant.uuid)
            assert count == 0, table


def test_periods_begin_and_end_at_midnight_utc() -> None:
    late = datetime(2026, 12, 31, 23, 59, 59, tzinfo=UTC)
    assert (period_start("day", late), period_end("day", late)) == (late.date(), datetime(2027, 1, 1, tzinfo=UTC))
    assert period_start("month", late) == datetime(2026, 12, 1, tzinfo=UTC).date()
    assert period_end("month", late) == datetime(2027, 1, 1, tzinfo=UTC)
    assert period_end("month", datetime(2028, 1, 31, tzinfo=UTC)) == datetime(2028, 2, 1, tzinfo=UTC)
    assert (period_start("total", late), period_end("total", late)) == (None, None)


async def test_calls_of_yesterday_do_not_count_against_today(database: Database, tenant: TenantId) -> None:
    calls, workflow = AiCalls(database), uuid4()
    old = call(workflow_id=workflow)
    await calls.reserve(tenant, old)
    async with database.transaction(tenant) as transaction:
        await transaction.execute(
            "UPDATE ai_call SET created_at = now() - interval '1 day' WHERE tenant_id = $1 AND id = $2",
            *(tenant.uuid, old.id),
        )
    await calls.settle(tenant, old.id, Settlement(100, 0, None))
    for period, used in (("day", 0), ("total", 100)):
        budget = await AiBudgets(database).create(tenant, workflow, period, tokens=1000, cost=None)
        assert (await AiUsage(database).of_budget(tenant, budget)).tokens == used
