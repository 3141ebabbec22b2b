"""A new release under running executions: the procedures of docs/upgrades.md, on real servers and worker processes."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio
from temporalio.client import WorkflowHandle, WorkflowHistory

from engine.contracts import LAUNCHER_WORKFLOW, LaunchRequest
from engine.settings import Settings
from models.repositories.workflows import Workflows
from tests.engine.workflows.asking import approval, say
from tests.engine.workflows.effects import Effects
from tests.engine.workflows.lab import Started, chain, graph, pure
from tests.replay.replaying import replay_failures
from tests.upgrades.releases import (
    DEPLOYMENT,
    NEW,
    OLD,
    PINNED,
    ROOT,
    Fleet,
    activity_ids,
    builds_in,
    open_fleet,
    other_activity_ids,
    release,
    without_patches,
)

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.slow]
COUNT = 50  # executions of the old release; a few of the new one come after them
DELAY = {"id": "ask", "type": "delay", "params": {"delay": "1h"}}


@pytest_asyncio.fixture(loop_scope="session")
async def fleet(engine_servers: Settings, effects: Effects) -> AsyncIterator[Fleet]:
    async with open_fleet(engine_servers, effects) as opened:
        yield opened


def step(node: str) -> dict[str, Any]:
    """A local node as an activity of its own, so that its id stands in the history."""
    return pure(node, "{{ execution.id }}", isolate=True)


def asking(*, steps: int = 1) -> dict[str, Any]:
    """A step, an approval, and steps behind it; with many it continues as new."""
    names = [f"s{number}" for number in range(steps)]
    edges = [*chain("first", "ask"), {"source": "ask", "source_port": "approved", "target": "s0"}, *chain(*names)]
    return graph(step("first"), approval(), *map(step, names), edges=edges)


@dataclass(slots=True)
class Running:
    """Executions that wait: for a person, for a delay, and inside a workflow that another calls."""

    asked: list[Started]
    delayed: list[Started]
    callers: list[Started]

    @property
    def all(self) -> list[Started]:
        return [*self.asked, *self.delayed, *self.callers]


async def begin(fleet: Fleet, count: int) -> Running:
    """So many executions that have begun and wait; one in ten calls another, one in ten will continue as new."""
    lab, tenth = fleet.lab, max(1, count // 10)
    called, _ = await lab.save(asking())
    await Workflows(lab.stack.runtime.database).publish(lab.tenant, called, 1)
    call = {"id": "call", "type": "workflow", "params": {"workflow": str(called), "input": {}}, "timeout": "1h"}
    asked = [await lab.start(asking(steps=16 if number < tenth else 1)) for number in range(count // 2)]
    callers = [await lab.start(graph(call, step("last"))) for _ in range(tenth)]
    rest = count - len(asked) - len(callers)
    delayed = [await lab.start(graph(step("first"), DELAY, step("last"))) for _ in range(rest)]
    for one in [*asked, *delayed]:
        await one.until("ask", "waiting")
    for one in callers:
        await one.until("call", "running")
        await lab.eventually(lambda one=one: _called_waits(one))
    return Running(asked, delayed, callers)


async def _called(caller: Started) -> WorkflowHandle[Any, Any] | None:
    """The execution that a caller has called."""
    described = await caller.handle.describe()
    children = described.raw_description.pending_children
    client = caller.lab.stack.runtime.temporal
    return client.get_workflow_handle(children[0].workflow_id) if children else None


async def _called_waits(caller: Started) -> bool:
    handle = await _called(caller)
    if handle is None:
        return False
    nodes = (await handle.query("state"))["nodes"]
    return any(one["path"] == "ask" and one["status"] == "waiting" for one in nodes)


async def let_go(running: Running) -> None:
    """Let all of them come to their ends, and see that each does well."""
    for one in running.asked:
        assert await say(one, "ada", "approved")
    for one in running.delayed:
        assert await one.command("skip", "ask", output="later")
    for one in running.callers:
        handle = await _called(one)
        assert handle is not None
        started = Started(one.id, handle, one.lab)
        assert await say(started, "ada", "approved")
    ended = await asyncio.gather(*(one.end(timeout_s=180) for one in running.all))
    assert {one.status for one in ended} == {"success"}, [one.error for one in ended if one.error]


async def histories_of(fleet: Fleet, running: Running) -> list[WorkflowHistory]:
    """Every run of those executions, and of what they called."""
    own = {one.handle.id for one in running.all}
    calls = {one.handle.id for one in running.callers}
    found: list[WorkflowHistory] = []
    for history in await fleet.lab.histories():
        first = history.events[0].workflow_execution_started_event_attributes
        if history.workflow_id in own or first.parent_workflow_execution.workflow_id in calls:
            found.append(history)
    return found


def structforge(fleet: Fleet, build: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command line with the settings of a build's workers."""
    environment = dict(fleet.environment(build, ROOT, pinned=True))
    argv = [sys.executable, "-m", "structforge", *arguments]
    return subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=180, check=False)


async def command(fleet: Fleet, build: str, *arguments: str) -> str:
    done = await asyncio.to_thread(structforge, fleet, build, *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


async def launch(fleet: Fleet) -> WorkflowHandle[Any, Any]:
    """A fire of a schedule, whose execution has no end of its own."""
    lab = fleet.lab
    workflow_id, _ = await lab.save(graph(step("first"), DELAY))
    await Workflows(lab.stack.runtime.database).publish(lab.tenant, workflow_id, 1)
    request = LaunchRequest(str(lab.tenant), str(workflow_id), str(uuid4()), "nightly")
    name = f"{lab.tenant}:schedule:{uuid4()}"
    queue = lab.stack.settings.worker.task_queue
    return await lab.stack.runtime.temporal.start_workflow(LAUNCHER_WORKFLOW, request, id=name, task_queue=queue)


async def child_of(fleet: Fleet, launcher: WorkflowHandle[Any, Any]) -> WorkflowHandle[Any, Any]:
    """The execution of a launcher, once its delay waits."""
    found: list[WorkflowHandle[Any, Any]] = []

    async def waiting() -> bool:
        children = (await launcher.describe()).raw_description.pending_children
        if not children:
            return False
        handle = fleet.lab.stack.runtime.temporal.get_workflow_handle(children[0].workflow_id)
        found[:] = [handle]
        return any(one["status"] == "waiting" for one in (await handle.query("state"))["nodes"])

    await fleet.lab.eventually(waiting)
    return found[0]


async def test_executions_end_on_the_build_they_began_on_and_the_old_build_drains(fleet: Fleet, tmp_path: Path) -> None:
    code = release(tmp_path / "old", "engine/workflows/driver.py", other_activity_ids)
    await fleet.start(OLD, code, pinned=True)
    await command(fleet, OLD, "deployment", "set-current", OLD)
    old = await begin(fleet, COUNT)
    launcher = await launch(fleet)
    launched = await child_of(fleet, launcher)

    await fleet.start(NEW, pinned=True)
    await command(fleet, NEW, "deployment", "set-current")  # the build of its own settings
    new = await begin(fleet, COUNT // 5)
    listed = json.loads(await command(fleet, NEW, "deployment", "list", "--json"))
    assert listed == {
        "deployment": DEPLOYMENT,
        "here": NEW,
        "builds": [{"build_id": NEW, "status": "current"}, {"build_id": OLD, "status": "draining"}],
    }
    early = await asyncio.to_thread(structforge, fleet, NEW, "deployment", "drained", OLD)
    assert (early.returncode, early.stdout) == (1, "draining\n")

    await asyncio.gather(let_go(old), let_go(new))
    await launched.execute_update("command", {"name": "skip", "path": "ask", "iteration": []})
    assert (await launcher.result())["status"] == "success"
    theirs, ours = await histories_of(fleet, old), await histories_of(fleet, new)
    assert {frozenset(builds_in(history)) for history in theirs} == {frozenset({OLD})}
    assert {frozenset(builds_in(history)) for history in ours} == {frozenset({NEW})}
    assert len(theirs) > COUNT + len(old.callers), "none has continued as new"
    assert all(name.startswith("old.") for history in theirs for name in activity_ids(history))
    assert builds_in(await launched.fetch_history()) == {OLD}
    assert NEW in builds_in(await launcher.fetch_history())  # it goes over, by patch markers alone
    converter = fleet.lab.stack.runtime.temporal.data_converter
    assert len(await replay_failures(theirs[:5], converter)) == 5, "the two builds are not different"

    assert await command(fleet, NEW, "deployment", "drained", OLD, "--wait", "120") == "drained\n"
    assert await fleet.stop(OLD) == 0
    more = await begin(fleet, 2)
    await let_go(more)


async def test_without_pinning_patch_markers_let_the_new_release_take_over(fleet: Fleet, tmp_path: Path) -> None:
    code = release(tmp_path / "old", "engine/workflows/*.py", without_patches)
    await fleet.start(OLD, code, pinned=False)
    old = await begin(fleet, COUNT)
    launcher = await launch(fleet)
    launched = await child_of(fleet, launcher)

    await fleet.start(NEW, pinned=False)
    assert await fleet.stop(OLD) == 0
    new = await begin(fleet, COUNT // 5)
    await asyncio.gather(let_go(old), let_go(new))
    await launched.execute_update("command", {"name": "skip", "path": "ask", "iteration": []})
    assert (await launcher.result())["status"] == "success"

    theirs = [*await histories_of(fleet, old), await launcher.fetch_history(), await launched.fetch_history()]
    first = [history for history in theirs if not _is_continued(history)]
    assert {frozenset(builds_in(history)) for history in first} == {frozenset({OLD, NEW})}
    failed = "workflow_task_failed_event_attributes"
    assert not any(event.HasField(failed) for history in theirs for event in history.events)  # pyright: ignore[reportArgumentType]
    assert await replay_failures(theirs, fleet.lab.stack.runtime.temporal.data_converter) == {}

    late = await begin(fleet, 4)
    await fleet.start(PINNED, pinned=True)  # of the same code, so that what runs goes over once it is current
    await command(fleet, PINNED, "deployment", "set-current")
    assert await fleet.stop(NEW) == 0
    await let_go(late)
    assert all(PINNED in builds_in(history) for history in await histories_of(fleet, late) if _is_last(history))


def _is_last(history: WorkflowHistory) -> bool:
    return not history.events[-1].HasField("workflow_execution_continued_as_new_event_attributes")


def _is_continued(history: WorkflowHistory) -> bool:
    return bool(history.events[0].workflow_execution_started_event_attributes.continued_execution_run_id)
