"""Tenants take turns in the task queue: who comes late does not stand behind all that another tenant has queued."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID, uuid4

import pytest
from temporalio.client import WorkflowHandle

import worker
from engine.activities.clients.objects import ObjectStore
from engine.activities.launching import TemporalLink, launch
from engine.activities.starting import execution_input
from engine.contracts import temporal_id
from engine.settings.fairness import FairnessSettings
from models.repositories.executions import Executions, NewExecution
from tests.engine.workflows.effects import Effects
from tests.engine.workflows.lab import Lab, Stack

SLOTS = 2
FLOOD = 40


@pytest.mark.asyncio(loop_scope="session")
async def test_a_tenant_overtakes_what_another_has_queued_and_the_urgent_goes_first(stack: Stack) -> None:
    settings = stack.settings.override(
        {"worker": {"task_queue": f"fair-{uuid4()}", "max_concurrent_activities": SLOTS}}
    )
    async with worker.build_worker(settings, stack.runtime):
        flood, guest, urgent = [await Lab.open(stack) for _ in range(3)]
        held = [flood.hold(f"n{number:02}", timeout="60s") for number in range(FLOOD)]
        queue = settings.worker.task_queue
        handles = [await _launch(flood, {"nodes": held, "edges": []}, queue, priority=3)]
        await _called(stack.effects, flood, SLOTS)  # every slot is taken, and 38 nodes wait
        handles.append(await _launch(guest, {"nodes": [guest.call("late")], "edges": []}, queue, priority=3))
        handles.append(await _launch(urgent, {"nodes": [urgent.call("first")], "edges": []}, queue, priority=1))
        for handle in handles:
            await flood.eventually(lambda handle=handle: _waits(handle))
        await _release_until(flood, lambda: bool(guest.calls("late") and urgent.calls("first")))

        # A free slot may have been promised already when the guests came; behind the flood it would have been 40.
        came = len(_calls(stack.effects, flood))
        assert came <= FLOOD // 2, came
        for number in range(FLOOD):
            flood.release(f"n{number:02}")
        for handle in handles:
            await handle.result()


def _calls(effects: Effects, lab: Lab) -> list[str]:
    return [call.name for call in effects.calls if call.name.startswith(lab.name("n"))]


async def _called(effects: Effects, lab: Lab, count: int) -> None:
    await lab.eventually(lambda: _has(effects, lab, count))


async def _has(effects: Effects, lab: Lab, count: int) -> bool:
    return len(_calls(effects, lab)) >= count


async def _waits(handle: WorkflowHandle[object, object]) -> bool:
    """Whether a node of the execution stands in the task queue."""
    pending = (await handle.describe()).raw_description.pending_activities
    return any(one.attempt <= 1 and not one.HasField("last_started_time") for one in pending)


async def _release_until(flood: Lab, done: Callable[[], bool]) -> None:
    """Let one node of the flood end after the other, each time waiting for what takes its slot, until `done()`."""
    for released in range(FLOOD):
        if done():
            return
        came = len(flood.effects.calls)
        flood.effects.release(_calls(flood.effects, flood)[released])
        await flood.eventually(lambda came=came: _grew(flood.effects, came))


async def _grew(effects: Effects, came: int) -> bool:
    return len(effects.calls) > came


async def _launch(
    lab: Lab, document: dict[str, object], queue: str, *, priority: int
) -> WorkflowHandle[object, object]:
    runtime, temporal = lab.stack.runtime, lab.stack.settings.temporal
    assert temporal.address is not None
    workflow_id, version_id = await lab.save(document)
    new = NewExecution(workflow_id=workflow_id, version_id=version_id, workflow_name="fair", priority=priority)
    created = await Executions(runtime.database).create_execution(lab.tenant, new)
    identifier: UUID = created.execution.id
    request = await execution_input(runtime.database, runtime.versions, lab.tenant, identifier, values=runtime.values)
    weights = FairnessSettings(weights={str(lab.tenant): 2.0})
    link = TemporalLink(
        temporal.address, temporal.namespace, ObjectStore.open(lab.stack.settings.objects_url), fairness=weights
    )
    assert await launch(link, request, task_queue=queue, priority=priority)
    handle = await link.handle(lab.tenant, identifier)
    described = await handle.describe()
    assert described.id == temporal_id(str(lab.tenant), str(identifier))
    given = described.raw_description.workflow_execution_info.priority
    assert (given.priority_key, given.fairness_key, given.fairness_weight) == (priority, str(lab.tenant), 2.0)
    return handle
