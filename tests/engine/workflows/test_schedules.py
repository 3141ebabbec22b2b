"""Schedules through Temporal: rows and timer nodes become Temporal Schedules, and each fire starts one execution."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from uuid import UUID, uuid4

import pytest
import pytest_asyncio
from google.protobuf.timestamp_pb2 import Timestamp
from temporalio.api.workflowservice.v1 import ListScheduleMatchingTimesRequest
from temporalio.client import (
    ScheduleBackfill,
    ScheduleDescription,
    ScheduleOverlapPolicy,
    WorkflowFailureError,
    WorkflowHandle,
)
from temporalio.service import RPCError

from engine.activities.clients.objects import ObjectStore
from engine.activities.launching import TemporalLink
from engine.activities.schedules.keeping import ScheduleKeeper
from engine.activities.schedules.mapping import PREFIX, read_mark, schedule_id
from engine.activities.schedules.sync import ScheduleSync
from engine.contracts import LAUNCHER_WORKFLOW, LaunchRequest
from models.ids import time_of_id
from models.repositories.execution_lists import ExecutionFilter, ExecutionLists
from models.repositories.executions import Executions
from models.repositories.schedules import Rule, Schedules
from models.repositories.workflows import Workflows
from models.tables import Execution, Schedule
from tests.engine.workflows.lab import Lab

pytestmark = pytest.mark.asyncio(loop_scope="session")
NODES = [{"id": "t", "type": "transform", "params": {"mapping": {"at": "{{ input.scheduled_at }}"}}}]


def sync_of(lab: Lab) -> ScheduleSync:
    runtime, settings = lab.stack.runtime, lab.stack.settings
    assert settings.temporal.address is not None
    link = TemporalLink(settings.temporal.address, settings.temporal.namespace, ObjectStore.open(settings.objects_url))
    return ScheduleSync(runtime.database, link, runtime.values, settings.worker.task_queue)


@pytest_asyncio.fixture(loop_scope="session")
async def sync(lab: Lab) -> AsyncIterator[ScheduleSync]:
    made = sync_of(lab)
    yield made
    rows = Schedules(lab.stack.runtime.database)
    for row in (await rows.list(lab.tenant, limit=200)).items:
        with contextlib.suppress(Exception):
            await rows.delete(lab.tenant, row.id)
    await made.sweep()


async def published(lab: Lab, nodes: list[dict[str, Any]] = NODES, edges: list[dict[str, str]] | None = None) -> UUID:
    workflow_id, _ = await lab.save({"nodes": nodes, "edges": edges or []})
    await Workflows(lab.stack.runtime.database).publish(lab.tenant, workflow_id, 1)
    return workflow_id


async def described(sync: ScheduleSync, row: Schedule) -> ScheduleDescription | None:
    client = await sync.temporal.client()
    try:
        return await client.get_schedule_handle(schedule_id(row)).describe()
    except RPCError:
        return None


async def runs_of(lab: Lab, workflow_id: UUID) -> list[Execution]:
    rows = ExecutionLists(lab.stack.runtime.database)
    return (await rows.page(lab.tenant, ExecutionFilter(workflow_id=workflow_id), limit=200)).items


async def test_a_row_becomes_a_schedule_follows_its_changes_and_goes_with_it(lab: Lab, sync: ScheduleSync) -> None:
    rows, workflow_id = Schedules(lab.stack.runtime.database), await published(lab)
    place = (lab.tenant.uuid, workflow_id)
    rule = Rule(workflow_id, "nightly", cron="0 3 * * *", timezone="Europe/Paris")
    row = await rows.create(lab.tenant, rule)
    assert (await sync.workflow(place)).created == 1
    found = await described(sync, row)
    assert found is not None
    assert found.schedule.spec.time_zone_name == "Europe/Paris"
    assert (await sync.workflow(place)).changes == 0

    await rows.set_paused(lab.tenant, row.id, paused=True)
    assert (await sync.workflow(place)).updated == 1
    found = await described(sync, row)
    assert found is not None
    assert found.schedule.state.paused

    await rows.replace(lab.tenant, row.id, replace(rule, cron=None, every_s=90.0, timezone="UTC"))
    await sync.workflow(place)
    found = await described(sync, row)
    assert found is not None
    assert [one.every for one in found.schedule.spec.intervals] == [timedelta(seconds=90)]

    await rows.delete(lab.tenant, row.id)
    assert (await sync.workflow(place)).deleted == 1
    assert await described(sync, row) is None


async def test_the_timer_of_a_published_version_becomes_a_schedule_until_the_workflow_is_archived(
    lab: Lab, sync: ScheduleSync
) -> None:
    timer = {"id": "clock", "type": "timer", "params": {"cron": "0 8 * * mon", "timezone": "Asia/Tokyo"}}
    workflow_id = await published(lab, [timer, *NODES], [{"source": "clock", "target": "t"}])
    place = (lab.tenant.uuid, workflow_id)
    assert (await sync.workflow(place)).created == 1
    (row,) = (await Schedules(lab.stack.runtime.database).list(lab.tenant, workflow_id=workflow_id)).items
    assert (row.source, row.trigger_node, row.cron, row.timezone) == ("timer", "clock", "0 8 * * mon", "Asia/Tokyo")
    assert (await sync.workflow(place)).changes == 0
    await Workflows(lab.stack.runtime.database).set_status(lab.tenant, workflow_id, "archived")
    assert (await sync.workflow(place)).deleted == 1
    assert await described(sync, row) is None


async def test_a_timer_stands_beside_peoples_own_schedule_of_its_name(lab: Lab, sync: ScheduleSync) -> None:
    timer = {"id": "clock", "type": "timer", "params": {"every": "90m"}}
    workflow_id = await published(lab, [timer, *NODES], [{"source": "clock", "target": "t"}])
    rows, place = Schedules(lab.stack.runtime.database), (lab.tenant.uuid, workflow_id)
    own = await rows.create(lab.tenant, Rule(workflow_id, "timer clock", every_s=3600.0))
    assert (await sync.workflow(place)).created == 2
    found = {row.name: row for row in (await rows.list(lab.tenant, workflow_id=workflow_id)).items}
    assert {name: row.every_s for name, row in found.items()} == {"timer clock": 3600.0, "timer clock (2)": 5400.0}
    await rows.delete(lab.tenant, own.id)
    await sync.workflow(place)
    (row,) = (await rows.list(lab.tenant, workflow_id=workflow_id)).items
    assert (row.id, row.name) == (found["timer clock (2)"].id, "timer clock")


async def test_a_row_that_temporal_refuses_does_not_keep_the_others_from_it(lab: Lab, sync: ScheduleSync) -> None:
    rows, workflow_id = Schedules(lab.stack.runtime.database), await published(lab)
    bad = await rows.create(lab.tenant, Rule(workflow_id, "bad", cron="61 * * * *"))
    good = await rows.create(lab.tenant, Rule(workflow_id, "good", every_s=3600.0))
    assert (await sync.workflow((lab.tenant.uuid, workflow_id))).created == 1
    await sync.sweep()
    assert (await described(sync, bad), await described(sync, good) is None) == (None, False)


async def test_a_sweep_repairs_what_a_hand_at_temporal_has_changed(lab: Lab, sync: ScheduleSync) -> None:
    rows, workflow_id = Schedules(lab.stack.runtime.database), await published(lab)
    made = [await rows.create(lab.tenant, Rule(workflow_id, f"s{n}", every_s=3600.0)) for n in range(4)]
    await sync.sweep()
    client = await sync.temporal.client()
    handles = [client.get_schedule_handle(schedule_id(row)) for row in made]
    await handles[0].delete()
    await handles[1].pause(note="paused by hand")
    stray = f"{PREFIX}{lab.tenant}:{UUID(int=7)}"
    with contextlib.suppress(Exception):
        description = await handles[2].describe()
        await client.create_schedule(stray, description.schedule)

    async def repaired() -> bool:  # Temporal's list follows its changes a moment later
        await sync.sweep()
        states = [await described(sync, row) for row in made]
        ok = all(
            one is not None and not one.schedule.state.paused and read_mark(one.schedule.state.note) for one in states
        )
        listed = [one.id async for one in await client.list_schedules()]
        return ok and stray not in listed and all(schedule_id(row) in listed for row in made)

    await lab.eventually(repaired)


async def test_each_fire_starts_one_execution_and_max_runs_ends_them(lab: Lab, sync: ScheduleSync) -> None:
    rows, workflow_id = Schedules(lab.stack.runtime.database), await published(lab)
    place = (lab.tenant.uuid, workflow_id)
    timer = {"id": "clock", "type": "timer", "params": {"every": "1h", "input": {"kept": 1}}}
    workflow_id = await published(lab, [timer, *NODES], [{"source": "clock", "target": "t"}])
    place = (lab.tenant.uuid, workflow_id)
    row = await rows.create(
        lab.tenant, Rule(workflow_id, "often", every_s=1.0, max_runs=3, overlap="allow_all", trigger_node="clock")
    )
    await sync.workflow(place)

    async def all_ended() -> bool:
        return [one.status for one in await runs_of(lab, workflow_id)] == ["success"] * 3

    await lab.eventually(all_ended, timeout_s=30)
    found = await described(sync, row)
    assert found is not None
    assert (found.info.num_actions, found.schedule.state.remaining_actions) == (3, 0)
    runs = await runs_of(lab, workflow_id)
    outputs = [
        (await lab.load(run.output))["t"]["at"]
        for run in [await Executions(lab.stack.runtime.database).get(lab.tenant, run.id) for run in runs]
    ]
    due = sorted(datetime.fromisoformat(text) for text in outputs)
    assert [later - earlier for earlier, later in pairwise(due)] == [timedelta(seconds=1)] * 2
    assert {run.trigger for run in runs} == {"schedule"}
    # A change that leaves max_runs as it is starts nothing anew.
    await rows.replace(
        lab.tenant, row.id,
        Rule(workflow_id, "often", every_s=2.0, max_runs=3, overlap="allow_all", trigger_node="clock"),
    )  # fmt: skip
    await sync.workflow(place)
    found = await described(sync, row)
    assert found is not None
    assert found.schedule.state.remaining_actions == 0


@pytest.mark.parametrize(
    ("first", "last"),
    [
        ("2026-03-28T00:00:00+00:00", "2026-03-31T00:00:00+00:00"),
        ("2026-10-24T00:00:00+00:00", "2026-10-27T00:00:00+00:00"),
    ],
    ids=["spring", "autumn"],
)
async def test_at_the_edges_of_daylight_saving_exactly_temporals_own_times_fire(
    first: str, last: str, lab: Lab, sync: ScheduleSync
) -> None:
    rows, workflow_id = Schedules(lab.stack.runtime.database), await published(lab)
    rule = Rule(workflow_id, "edge", cron="30 2 * * *", timezone="Europe/Berlin", overlap="allow_all")
    row = await rows.create(lab.tenant, rule)
    await sync.workflow((lab.tenant.uuid, workflow_id))
    client = await sync.temporal.client()
    start, end = datetime.fromisoformat(first), datetime.fromisoformat(last)
    matching = await client.workflow_service.list_schedule_matching_times(
        ListScheduleMatchingTimesRequest(
            namespace=client.namespace, schedule_id=schedule_id(row), start_time=_stamp(start), end_time=_stamp(end)
        )
    )
    expected = sorted(time.ToDatetime(tzinfo=UTC) for time in matching.start_time)
    assert expected
    handle = client.get_schedule_handle(schedule_id(row))
    for _ in range(2):  # a backfill that is asked for twice starts nothing twice
        await handle.backfill(ScheduleBackfill(start, end, overlap=ScheduleOverlapPolicy.ALLOW_ALL))

    async def all_ended() -> bool:
        runs = await runs_of(lab, workflow_id)
        return len(runs) >= len(expected) and all(run.finished_at is not None for run in runs)

    await lab.eventually(all_ended, timeout_s=30)
    assert sorted(time_of_id(run.id) for run in await runs_of(lab, workflow_id)) == expected


def _stamp(moment: datetime) -> Timestamp:
    stamp = Timestamp()
    stamp.FromDatetime(moment)
    return stamp


async def test_one_process_keeps_the_schedules_and_another_takes_over(lab: Lab, sync: ScheduleSync) -> None:
    database = lab.stack.runtime.database
    rows, workflow_id = Schedules(database), await published(lab)
    keepers = [ScheduleKeeper(database, sync_of(lab), f"keeper {n}") for n in range(2)]
    tasks = [asyncio.create_task(keeper.run_forever()) for keeper in keepers]
    try:
        await lab.eventually(lambda: _one_leads(keepers))
        row = await rows.create(lab.tenant, Rule(workflow_id, "told", every_s=3600.0))
        await lab.eventually(lambda: _is_there(sync, row), timeout_s=20)  # long before any sweep
        leader = next(n for n, keeper in enumerate(keepers) if keeper.leading)
        epoch = keepers[leader].sync.epoch
        tasks[leader].cancel()
        await asyncio.gather(tasks[leader], return_exceptions=True)
        other = keepers[1 - leader]
        await lab.eventually(lambda: _leads(other))
        assert other.sync.epoch == epoch + 1
        await rows.delete(lab.tenant, row.id)
        await lab.eventually(lambda: _is_gone(sync, row))
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_leader_of_an_earlier_epoch_changes_nothing(lab: Lab, sync: ScheduleSync) -> None:
    rows, workflow_id = Schedules(lab.stack.runtime.database), await published(lab)
    row = await rows.create(lab.tenant, Rule(workflow_id, "fenced", every_s=3600.0))
    sync.epoch = 9
    await sync.workflow((lab.tenant.uuid, workflow_id))
    await rows.set_paused(lab.tenant, row.id, paused=True)
    late = sync_of(lab)
    late.epoch = 8
    with pytest.raises(Exception, match="later leader"):
        await late.workflow((lab.tenant.uuid, workflow_id))
    found = await described(sync, row)
    assert found is not None
    assert not found.schedule.state.paused


async def test_after_many_random_edits_temporal_equals_the_rows(lab: Lab, sync: ScheduleSync) -> None:
    rows, workflow_id = Schedules(lab.stack.runtime.database), await published(lab)
    keeper = ScheduleKeeper(lab.stack.runtime.database, sync, "keeper", sweep_s=0.5)
    task, dice, kept = asyncio.create_task(keeper.run_forever()), random.Random(5), dict[UUID, Rule]()
    try:
        for number in range(80):
            await _edit(rows, lab, workflow_id, kept, dice, number)
        client = await sync.temporal.client()

        async def equal() -> bool:
            wanted = {schedule_id(one.schedule): one for one in await rows.desired((lab.tenant.uuid, workflow_id))}
            mine = f"{PREFIX}{lab.tenant}:"
            listed = {one.id: one async for one in await client.list_schedules() if one.id.startswith(mine)}
            if listed.keys() != wanted.keys():
                return False
            for identifier, desired in wanted.items():
                found = await client.get_schedule_handle(identifier).describe()
                every = [one.every.total_seconds() for one in found.schedule.spec.intervals]
                if found.schedule.state.paused != desired.schedule.paused or every != [desired.schedule.every_s]:
                    return False
            return True

        await lab.eventually(equal)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _edit(
    rows: Schedules, lab: Lab, workflow_id: UUID, kept: dict[UUID, Rule], dice: random.Random, number: int
) -> None:
    action = dice.choice(["create", "create", "replace", "pause", "delete"]) if kept else "create"
    if action == "create":
        rule = Rule(workflow_id, f"s{number}", every_s=float(dice.randint(3600, 9999)))
        kept[(await rows.create(lab.tenant, rule)).id] = rule
        return
    chosen = dice.choice(list(kept))
    if action == "replace":
        kept[chosen] = replace(kept[chosen], every_s=float(dice.randint(3600, 9999)))
        await rows.replace(lab.tenant, chosen, kept[chosen])
    elif action == "pause":
        await rows.set_paused(lab.tenant, chosen, paused=dice.random() < 0.5)
    else:
        del kept[chosen]
        await rows.delete(lab.tenant, chosen)


async def _one_leads(keepers: list[ScheduleKeeper]) -> bool:
    return sum(keeper.leading for keeper in keepers) == 1


async def _leads(keeper: ScheduleKeeper) -> bool:
    return keeper.leading


async def _is_there(sync: ScheduleSync, row: Schedule) -> bool:
    return await described(sync, row) is not None


async def _is_gone(sync: ScheduleSync, row: Schedule) -> bool:
    return await described(sync, row) is None


async def _launched(lab: Lab, workflow_id: UUID) -> WorkflowHandle[Any, Any]:
    """A fire of a schedule of its own."""
    request = LaunchRequest(str(lab.tenant), str(workflow_id), str(uuid4()), "by hand")
    client, queue = lab.stack.runtime.temporal, lab.stack.settings.worker.task_queue
    name = f"{lab.tenant}:schedule:{uuid4()}"  # as a schedule calls it
    return await client.start_workflow(LAUNCHER_WORKFLOW, request, id=name, task_queue=queue)


async def _until(lab: Lab, workflow_id: UUID, wanted: set[tuple[str, str | None]]) -> None:
    async with asyncio.timeout(30):
        while {(run.status, run.reason) for run in await runs_of(lab, workflow_id)} != wanted:  # noqa: ASYNC110 (a row)
            await asyncio.sleep(0.1)


async def test_a_fire_that_is_cancelled_while_it_waits_for_a_slot_does_not_begin_later(lab: Lab) -> None:
    """What `cancel_other` does to the fire before: it cancels its launcher."""
    wait = {"id": "wait", "type": "delay", "params": {"delay": "1h"}}
    workflow_id, _ = await lab.save({"nodes": [wait], "settings": {"max_concurrent_executions": 1}})
    await Workflows(lab.stack.runtime.database).publish(lab.tenant, workflow_id, 1)
    first = await _launched(lab, workflow_id)
    await _until(lab, workflow_id, {("pending", None)})  # it holds the slot
    second = await _launched(lab, workflow_id)
    await _until(lab, workflow_id, {("pending", None), ("pending", "queued")})

    await second.cancel()
    with pytest.raises(WorkflowFailureError):
        await second.result()

    statuses = sorted(run.status for run in await runs_of(lab, workflow_id))
    assert statuses == ["cancelled", "pending"]
    await first.cancel()
    with contextlib.suppress(WorkflowFailureError):
        await first.result()
    assert [run.status for run in await runs_of(lab, workflow_id)] == ["cancelled", "cancelled"]
