"""Quotas in the record: rules, slots, the queue, and counters that equal a recount whatever happens in between."""

import asyncio
import random
from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest

from engine.errors import Conflict, NotFound
from models.repositories.executions import QUEUED, Executions, NewExecution
from models.repositories.node_executions import NodeExecutions
from models.repositories.quotas import Quotas
from models.repositories.workflows import Workflows
from models.rows import Finish, FinishResult
from models.session import Database
from models.tables import Execution
from models.tenancy import TenantId


async def start(database: Database, tenant: TenantId, workflow_id: UUID, **fields: object) -> Execution:
    new = NewExecution(workflow_id, fields.pop("version_id", None) or uuid4(), "w", **fields)  # type: ignore[arg-type]
    return (await Executions(database).create_execution(tenant, new)).execution


async def end(database: Database, tenant: TenantId, execution_id: UUID, status: str = "success") -> None:
    finish = Finish(tenant, execution_id, status, 0, 0, datetime.now(UTC))
    assert isinstance((await NodeExecutions(database).write([], finishes=[finish]))[0], FinishResult)


async def reason(database: Database, tenant: TenantId, execution: Execution) -> str | None:
    return (await Executions(database).get(tenant, execution.id)).reason


async def saved(database: Database, tenant: TenantId, name: str, **settings: object) -> tuple[UUID, UUID]:
    spec = {"name": name, "nodes": [{"id": "a", "type": "manual"}], "settings": settings}
    made = await Workflows(database).create(tenant, spec)
    return made.workflow.id, made.version.id


async def assert_counted_right(database: Database, tenant: TenantId) -> None:
    async with database.transaction(tenant) as transaction:
        wrong = await transaction.fetch(
            "SELECT q.key, q.value, quota_recount(q.tenant_id, q.scope, q.key, NULL) AS right FROM quota_counter q"
            " WHERE q.scope = 'concurrent_executions' AND"
            " q.value <> quota_recount(q.tenant_id, q.scope, q.key, NULL)"
        )
        stuck = await transaction.fetchval(
            "SELECT count(*) FROM waiting_execution w JOIN execution e ON e.tenant_id = w.tenant_id"
            " AND e.id = w.execution_id WHERE e.finished_at IS NOT NULL OR e.reason IS DISTINCT FROM 'queued'"
        )
    assert (list(map(dict, wrong)), stuck) == ([], 0)


async def test_executions_of_a_period_are_accepted_up_to_the_limit_and_not_one_more(
    database: Database, tenant: TenantId
) -> None:
    flow = uuid4()
    await start(database, tenant, flow)  # began before there was a quota, and counts
    await Quotas(database).put(tenant, "workflow", "executions", "day", 4)

    answers = await asyncio.gather(*(start(database, tenant, flow) for _ in range(10)), return_exceptions=True)
    refused = [answer for answer in answers if isinstance(answer, Conflict)]

    assert len(answers) - len(refused) == 3
    assert {error.code for error in refused} == {"QUOTA_EXCEEDED"}
    details = refused[0].details
    assert (details["quota"], details["limit"], details["used"], details["period"]) == ("executions", 4, 4, "day")
    assert datetime.fromisoformat(details["frees_at"]) > datetime.now(UTC)
    await start(database, tenant, uuid4())  # another workflow has its own


async def test_a_refused_start_gives_its_idempotency_key_and_what_it_took_back(
    database: Database, tenant: TenantId
) -> None:
    quotas = Quotas(database)
    await quotas.put(tenant, "tenant", "executions", "hour", 10)
    await quotas.put(tenant, "tenant", "stored_bytes", "", 0)
    with pytest.raises(Conflict, match="stored bytes"):
        await start(database, tenant, uuid4())
    used = {usage.rule.kind: usage.used for usage in await quotas.usage(tenant)}
    assert used == {"executions": 0, "stored_bytes": 0}


async def test_waiting_executions_get_slots_by_priority_and_then_age(database: Database, tenant: TenantId) -> None:
    flow = uuid4()
    await Quotas(database).put(tenant, f"workflow:{flow}", "concurrent_executions", "", 1)
    running = await start(database, tenant, flow)
    late, later, urgent = [await start(database, tenant, flow, priority=level) for level in (3, 3, 1)]
    assert running.reason is None
    assert [row.reason for row in (late, later, urgent)] == [QUEUED] * 3

    order: list[UUID] = []
    for _ in range(3):
        await end(database, tenant, running.id)
        held = [row for row in (late, later, urgent) if row.id not in order and not await reason(database, tenant, row)]
        assert len(held) == 1
        running = held[0]
        order.append(running.id)
    assert order == [urgent.id, late.id, later.id]


async def test_the_limit_in_a_document_counts_executions_of_all_its_versions(
    database: Database, tenant: TenantId
) -> None:
    flow, first = await saved(database, tenant, "free")
    old = await start(database, tenant, flow, version_id=first)
    spec = {"name": "free", "nodes": [], "settings": {"max_concurrent_executions": 2}}
    second = (await Workflows(database).save(tenant, flow, spec)).version.id

    one = await start(database, tenant, flow, version_id=second)
    two = await start(database, tenant, flow, version_id=second)
    unbound = await start(database, tenant, flow, version_id=first)
    assert [row.reason for row in (one, two, unbound)] == [None, QUEUED, None]

    await end(database, tenant, old.id)
    assert await reason(database, tenant, two) == QUEUED  # `one` and `unbound` run
    await end(database, tenant, unbound.id)
    assert await reason(database, tenant, two) is None
    await assert_counted_right(database, tenant)


async def test_who_waits_for_one_slot_does_not_hold_up_who_needs_another(database: Database, tenant: TenantId) -> None:
    quotas, full, other = Quotas(database), uuid4(), uuid4()
    await quotas.put(tenant, f"workflow:{full}", "concurrent_executions", "", 1)
    await quotas.put(tenant, "tenant", "concurrent_executions", "", 2)
    first, second = await start(database, tenant, full), await start(database, tenant, other)
    blocked, next_one = await start(database, tenant, full), await start(database, tenant, other)

    await end(database, tenant, second.id)

    assert (await reason(database, tenant, blocked), await reason(database, tenant, next_one)) == (QUEUED, None)
    await end(database, tenant, first.id)
    assert await reason(database, tenant, blocked) is None


async def test_each_person_has_slots_of_her_own(database: Database, tenant: TenantId) -> None:
    quotas, flow = Quotas(database), uuid4()
    await quotas.put(tenant, "user", "concurrent_executions", "", 1)
    await quotas.put(tenant, "user:bob@example.com", "concurrent_executions", "", 2)
    people = ["ann", "ann", "bob@example.com", "bob@example.com", "bob@example.com", ""]
    started = [await start(database, tenant, flow, started_by=person) for person in people]
    assert [row.reason for row in started] == [None, QUEUED, None, None, QUEUED, None]
    usage = {(use.subject, use.used) for use in await quotas.usage(tenant)}
    assert usage == {("user:ann", 1), ("user:bob@example.com", 2)}


async def test_a_child_takes_a_slot_of_its_own_workflow_alone_and_a_recursion_does_not_wait_for_itself(
    database: Database, tenant: TenantId
) -> None:
    quotas, flow, inner = Quotas(database), uuid4(), uuid4()
    await quotas.put(tenant, "tenant", "concurrent_executions", "", 1)
    await quotas.put(tenant, "workflow", "concurrent_executions", "", 1)
    parent = await start(database, tenant, flow)
    child = await start(database, tenant, inner, parent_execution_id=parent.id)
    waiting = await start(database, tenant, inner, parent_execution_id=parent.id)
    again = await start(database, tenant, flow, parent_execution_id=child.id)
    assert [row.reason for row in (child, waiting, again)] == [None, QUEUED, None]

    await end(database, tenant, parent.id)  # whoever waits under it will not be asked for any more
    assert (await Executions(database).get(tenant, waiting.id)).status == "cancelled"
    await assert_counted_right(database, tenant)


async def test_a_queued_execution_is_cancelled_once_and_frees_no_slot(database: Database, tenant: TenantId) -> None:
    flow, executions = uuid4(), Executions(database)
    await Quotas(database).put(tenant, "workflow", "concurrent_executions", "", 1)
    running, waiting = await start(database, tenant, flow), await start(database, tenant, flow)

    assert [await executions.cancel_queued(tenant, waiting.id) for _ in range(2)] == [True, False]
    assert not await executions.cancel_queued(tenant, running.id)
    assert (await executions.get(tenant, waiting.id)).status == "cancelled"
    assert (await start(database, tenant, flow)).reason == QUEUED
    await assert_counted_right(database, tenant)


async def test_a_raised_or_removed_limit_lets_waiting_executions_in(database: Database, tenant: TenantId) -> None:
    quotas, flow = Quotas(database), uuid4()
    await quotas.put(tenant, "tenant", "concurrent_executions", "", 1)
    rows = [await start(database, tenant, flow) for _ in range(5)]

    await quotas.put(tenant, "tenant", "concurrent_executions", "", 3)
    raised = [await reason(database, tenant, row) for row in rows]
    await quotas.delete(tenant, "tenant", "concurrent_executions", "")
    removed = [await reason(database, tenant, row) for row in rows]

    assert raised == [None, None, None, QUEUED, QUEUED]
    assert removed == [None] * 5
    with pytest.raises(NotFound):
        await quotas.delete(tenant, "tenant", "concurrent_executions", "")


async def test_execution_time_is_summed_and_a_start_refused_once_it_is_used_up(
    database: Database, tenant: TenantId
) -> None:
    flow, quotas = uuid4(), Quotas(database)
    await quotas.put(tenant, "tenant", "execution_seconds", "month", 3)
    await quotas.put(tenant, "workflow", "execution_timeout_s", "", 60)
    for _ in range(2):
        execution = await start(database, tenant, flow)
        assert execution.timeout_s == 60
        began = datetime.now(UTC).timestamp() - 1.6
        await Executions(database).mark_running(tenant, execution.id, started_at=datetime.fromtimestamp(began, UTC))
        await end(database, tenant, execution.id, "failed")
    with pytest.raises(Conflict) as refusal:
        await start(database, tenant, flow)
    assert (refusal.value.details["quota"], refusal.value.details["used"]) == ("execution_seconds", 3)


async def test_workflows_and_their_nodes_are_bounded_when_they_are_saved(database: Database, tenant: TenantId) -> None:
    quotas, workflows = Quotas(database), Workflows(database)
    await quotas.put(tenant, "tenant", "workflows", "", 2)
    await quotas.put(tenant, "tenant", "nodes", "", 3)

    made = await asyncio.gather(*(saved(database, tenant, f"w{n}") for n in range(5)), return_exceptions=True)
    refused = [answer for answer in made if isinstance(answer, Conflict)]
    assert [(error.code, error.details["quota"]) for error in refused] == [("QUOTA_EXCEEDED", "workflows")] * 3

    kept = next(answer for answer in made if isinstance(answer, tuple))
    body = {"nodes": [{"id": "b", "type": "manual"}, {"id": "c", "type": "manual"}]}
    spec = {"name": "big", "nodes": [{"id": "a", "type": "loop", "params": {"body": body}}]}
    await workflows.save(tenant, kept[0], spec)
    with pytest.raises(Conflict, match="nodes"):
        await workflows.save(tenant, kept[0], {**spec, "handlers": {"nodes": [{"id": "d", "type": "manual"}]}})
    await workflows.set_status(tenant, kept[0], "archived")
    await saved(database, tenant, "in its place")


async def test_counters_equal_a_recount_after_any_mix_of_starts_ends_cancels_and_changes(
    database: Database, tenant: TenantId
) -> None:
    dice = random.Random(20_261_125)
    quotas, executions = Quotas(database), Executions(database)
    flow, version = await saved(database, tenant, "limited", max_concurrent_executions=3)
    flows = [(flow, version), (uuid4(), uuid4()), (uuid4(), uuid4())]
    limits = {"tenant": 6, "user": 3, "workflow": 4}
    rows: list[Execution] = []

    async def one_step() -> None:
        choice = dice.random()
        if choice < 0.5:
            workflow_id, version_id = dice.choice(flows)
            parent = dice.choice(rows).id if rows and dice.random() < 0.2 else None
            rows.append(
                await start(
                    database, tenant, workflow_id, version_id=version_id, priority=dice.randint(1, 5),
                    started_by=dice.choice(["", "ann", "bob"]), parent_execution_id=parent,
                )
            )  # fmt: skip
        elif choice < 0.92 and rows:
            execution = dice.choice(rows)
            if dice.random() < 0.3:
                await executions.cancel_queued(tenant, execution.id)
            elif await reason(database, tenant, execution) is None or dice.random() < 0.1:
                await end(database, tenant, execution.id, dice.choice(["success", "failed", "cancelled"]))
        else:
            subject = dice.choice(list(limits))
            if dice.random() < 0.3:
                await quotas.delete(tenant, subject, "concurrent_executions", "")
            else:
                await quotas.put(tenant, subject, "concurrent_executions", "", limits[subject])

    for _ in range(40):
        results = await asyncio.gather(*(one_step() for _ in range(8)), return_exceptions=True)
        assert [result for result in results if result is not None and not isinstance(result, NotFound)] == []
        await assert_counted_right(database, tenant)

    for rule in await quotas.list(tenant):
        await quotas.delete(tenant, rule.subject, rule.kind, rule.period)
    while open_rows := [row for row in rows if not (await executions.get(tenant, row.id)).finished_at]:
        for row in open_rows:
            await end(database, tenant, row.id)
    async with database.transaction(tenant) as transaction:
        left = await transaction.fetchval("SELECT count(*) FROM waiting_execution")
        held = await transaction.fetchval("SELECT coalesce(sum(value), 0) FROM quota_counter")
    assert (left, held) == (0, 0)


async def test_a_persons_workflows_are_counted_by_her_account(database: Database, tenant: TenantId) -> None:
    account = uuid4()
    async with database.transaction(tenant, purpose="sign_in", sign_in="eve@example.com") as transaction:
        await transaction.execute("INSERT INTO user_account (id, email) VALUES ($1, 'eve@example.com')", account)
        await transaction.execute(
            "INSERT INTO membership (tenant_id, user_id, role) VALUES ($1, $2, 'member')", tenant.uuid, account
        )
    await Quotas(database).put(tenant, "user:eve@example.com", "workflows", "", 1)
    workflows = Workflows(database)
    await workflows.create(tenant, {"name": "hers", "nodes": []}, owner=str(account))
    await workflows.create(tenant, {"name": "nobody's", "nodes": []})
    with pytest.raises(Conflict, match="user:eve@"):
        await workflows.create(tenant, {"name": "one more", "nodes": []}, owner=str(account))
    assert [usage.used for usage in await Quotas(database).usage(tenant)] == [1]
