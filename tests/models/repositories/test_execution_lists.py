import asyncio
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from models.ids import id_of_fire
from models.repositories.execution_lists import ExecutionFilter, ExecutionLists, Order, Place
from models.repositories.executions import Executions, NewExecution
from models.repositories.grants import Sight
from models.repositories.node_executions import NodeExecutions
from models.rows import Finish
from models.session import Database
from models.tenancy import TenantId, mint_tenant

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def new(workflow_id: UUID | None = None, **fields: object) -> NewExecution:
    return NewExecution(workflow_id or uuid4(), uuid4(), "w", **fields)  # pyright: ignore[reportArgumentType]


async def _ids(database: Database, tenant: TenantId, order: Order, limit: int = 2) -> list[UUID]:
    """Every id, page by page."""
    seen: list[UUID] = []
    after: Place | None = None
    while True:
        page = await ExecutionLists(database).page(tenant, order=order, after=after, limit=limit)
        seen += [row.id for row in page.items]
        if page.next is None:
            return seen
        after = page.next


async def test_pages_cover_a_list_once_newest_first(database: Database, tenant: TenantId) -> None:
    made = [new() for _ in range(7)]
    for wanted in made:
        await Executions(database).create_execution(tenant, wanted)
    assert await _ids(database, tenant, "-created", 3) == sorted((wanted.id for wanted in made), reverse=True)
    assert await _ids(database, tenant, "created", 3) == sorted(wanted.id for wanted in made)


async def test_ends_and_durations_order_what_has_ended_with_equals_kept_apart(
    database: Database, tenant: TenantId
) -> None:
    # minutes from start to end: 1, 3, 3, 2 and one that runs; begun when they end is irrelevant to the order of ends
    made = [new() for _ in range(5)]
    for minutes, wanted in zip((1, 3, 3, 2, None), made, strict=True):
        await Executions(database).create_execution(tenant, wanted)
        await Executions(database).mark_running(tenant, wanted.id, started_at=NOON)
        if minutes is not None:
            end = NOON + timedelta(minutes=minutes)
            await NodeExecutions(database).write([], [], [Finish(tenant, wanted.id, "success", 0, 0, end)])
    one, three, also_three, two, _ = (wanted.id for wanted in made)
    longest = [*sorted((three, also_three), reverse=True), two, one]
    assert await _ids(database, tenant, "-duration") == longest
    assert await _ids(database, tenant, "duration") == longest[::-1]
    assert await _ids(database, tenant, "-finished") == longest
    assert await _ids(database, tenant, "finished", 1) == longest[::-1]


async def test_filters_narrow_and_combine(database: Database, tenant: TenantId) -> None:
    executions, workflow_id = Executions(database), uuid4()
    first = new(workflow_id, labels={"team": "ops", "n": 5}, started_by="ada")
    second = new(workflow_id, labels={"team": "dev"}, trigger="timer", parent_execution_id=first.id)
    third = new(rerun_of=first.id, trigger="rerun")
    for wanted in (first, second, third):
        await executions.create_execution(tenant, wanted)
    await executions.mark_running(tenant, second.id)

    async def ids(**narrowed: object) -> list[UUID]:
        chosen = ExecutionFilter(**narrowed)  # pyright: ignore[reportArgumentType]
        return [execution.id for execution in (await ExecutionLists(database).page(tenant, chosen)).items]

    assert await ids(workflow_id=workflow_id) == [second.id, first.id]
    assert await ids(workflow_id=workflow_id, statuses=["pending"]) == [first.id]
    assert await ids(statuses=[]) == []
    assert await ids(labels={"team": "ops"}) == [first.id]
    assert await ids(label_texts={"n": "5", "team": "ops"}) == [first.id]
    assert await ids(trigger="timer") == [second.id]
    assert await ids(started_by="ada") == [first.id]
    assert await ids(parent_execution_id=first.id) == [second.id]
    assert await ids(rerun_of=first.id) == [third.id]
    assert await ids(ids=[third.id, uuid4()]) == [third.id]
    assert await ids(created_before=datetime.now(UTC) - timedelta(hours=1)) == []
    assert await ids(sight=Sight(workflow=workflow_id)) == [second.id, first.id]
    assert await ids(sight=Sight(member=uuid4())) == []
    assert await ids(tag="nightly") == []


async def test_a_tag_of_the_workflow_narrows(database: Database, tenant: TenantId) -> None:
    tagged, plain = uuid4(), uuid4()
    for workflow_id in (tagged, plain):
        await Executions(database).create_execution(tenant, new(workflow_id))
    async with database.transaction(tenant) as transaction:
        await transaction.execute(
            "INSERT INTO workflow (tenant_id, id, name) VALUES ($1, $2, $3)", tenant.uuid, tagged, str(tagged)
        )
        await transaction.execute(
            "INSERT INTO workflow_tag (tenant_id, tag, workflow_id) VALUES ($1, 'nightly', $2)", tenant.uuid, tagged
        )
    page = await ExecutionLists(database).page(tenant, ExecutionFilter(tag="nightly"))
    assert [row.workflow_id for row in page.items] == [tagged]


async def test_counting_stops_at_the_bound(database: Database, tenant: TenantId) -> None:
    await asyncio.gather(*(Executions(database).create_execution(tenant, new()) for _ in range(5)))
    lists = ExecutionLists(database)
    assert await lists.count(tenant, ExecutionFilter(), most=100) == 5
    assert await lists.count(tenant, ExecutionFilter(), most=3) == 3
    assert await lists.count(mint_tenant(uuid4()), ExecutionFilter(), most=3) == 0


@pytest.mark.parametrize("data", [False, True])
async def test_a_walk_over_all_reads_data_only_if_asked(database: Database, tenant: TenantId, data: bool) -> None:
    for _ in range(5):
        await Executions(database).create_execution(tenant, new(input={"v": 1, "n": 1}))
    walk = ExecutionLists(database).every(tenant, ExecutionFilter(), data=data, page=2)
    rows = [row async for row in walk]
    assert len({row.id for row in rows}) == 5
    assert all((row.input is not None) is data for row in rows)


async def test_a_label_is_found_by_what_its_value_reads_as(database: Database, tenant: TenantId) -> None:
    values = {"5": 5, "five": "5", "yes": True, "word": "true", "half": 0.5, "zip": "007", "quoted": '"5"'}
    made = {name: new(labels={"is": value}) for name, value in values.items()}
    for wanted in made.values():
        await Executions(database).create_execution(tenant, wanted)

    async def found(text: str) -> list[str]:
        page = await ExecutionLists(database).page(tenant, ExecutionFilter(label_texts={"is": text}))
        return sorted(name for name, wanted in made.items() if wanted.id in {row.id for row in page.items})

    assert await found("5") == ["5", "five"]
    assert await found("true") == ["word", "yes"]
    assert (await found("0.5"), await found("0.50"), await found("007")) == (["half"], [], ["zip"])
    assert (await found('"5"'), await found("1e999999"), await found("null")) == (["quoted"], [], [])


async def test_times_of_creation_bound_a_list_whatever_the_time_in_the_id(database: Database, tenant: TenantId) -> None:
    lately, backfilled = new(), new(id=id_of_fire(NOON - timedelta(days=400), "backfill"))
    for wanted in (lately, backfilled):
        await Executions(database).create_execution(tenant, wanted)
    now = datetime.now(UTC)

    async def found(**times: datetime) -> list[UUID]:
        page = await ExecutionLists(database).page(tenant, ExecutionFilter(**times))  # pyright: ignore[reportArgumentType]
        return [row.id for row in page.items]

    hour = timedelta(hours=1)
    assert await found(created_from=now - hour, created_before=now + hour) == [lately.id, backfilled.id]
    assert await found(created_before=now - hour) == []
    assert await found(created_from=now + hour) == []
