"""Skips and cancels that come while a region runs: they end what they name, and nothing beside it."""

from __future__ import annotations

from typing import Any

import pytest
from temporalio.api.enums.v1 import PendingActivityState

from engine.contracts import RUN_REGION
from tests.engine.workflows.lab import Lab, Started, chain, foreach, graph, pure

pytestmark = pytest.mark.asyncio(loop_scope="session")
STARTED = PendingActivityState.PENDING_ACTIVITY_STATE_STARTED


def burn(node: str, count: int = 2000) -> dict[str, Any]:
    """A local loop that takes longer than a region inside the workflow task may, so that it goes on as an activity."""
    body = graph(pure(f"{node}_x", "{{ sum([n * n for n in range(3000)]) }}"), outputs="{{ item }}")
    return foreach(node, f"{{{{ list(range({count})) }}}}", body, max_iterations=10_000)


async def until_region_is_activity(started: Started) -> None:
    """Return once a region of the execution runs as an activity."""

    async def runs() -> bool:
        described = await started.handle.describe()
        pending = described.raw_description.pending_activities
        return any(one.activity_type.name == RUN_REGION and one.state == STARTED for one in pending)

    await started.lab.eventually(runs)


async def test_skip_in_a_region_that_is_an_activity_leaves_its_neighbours_alone(lab: Lab) -> None:
    nodes = [
        burn("a", 10_000),
        burn("b"),
        pure("after_a", "{{ nodes.a.output }}"),
        pure("after_b", "{{ nodes.b.output.iterations }}"),
    ]
    started = await lab.start({"nodes": nodes, "edges": [*chain("a", "after_a"), *chain("b", "after_b")]})
    await until_region_is_activity(started)
    assert await started.command("skip", "a", output="mine")
    ended = await started.end()
    assert ended.status == "success", ended.error
    states = {place: status for place, status in ended.states().items() if "." not in place}
    assert states == {"a": "skipped", "b": "success", "after_a": "success", "after_b": "success"}
    assert await ended.output() == {"after_a": "mine", "after_b": 2000}


async def test_what_follows_a_node_that_is_skipped_while_its_region_runs_sees_the_given_output(lab: Lab) -> None:
    nodes = [burn("slow"), pure("mid", "own"), pure("last", "{{ nodes.mid.output }}")]
    started = await lab.start(graph(*nodes))
    await until_region_is_activity(started)
    skipped = await started.command("skip", "mid", output="mine")
    ended = await started.end()
    assert ended.status == "success", ended.error
    assert ended.states()["mid"] == ("skipped" if skipped else "success")
    assert await ended.output() == {"last": "mine" if skipped else "own"}


async def test_branch_that_is_cancelled_in_a_region_leaves_the_nodes_outside_it_alone(lab: Lab) -> None:
    branches = [{"id": "b0", **graph(burn("slow", 10_000))}, {"id": "b1", **graph(lab.hold("quick"))}]
    race = {"id": "race", "type": "parallel", "params": {"branches": branches, "wait": "any"}}
    started = await lab.start({"nodes": [race, burn("beside")], "edges": []})
    await lab.seen("quick")
    await until_region_is_activity(started)
    lab.release("quick")
    ended = await started.end()
    assert ended.status == "success", ended.error
    assert ended.states()["race"] == "success"
    assert ended.states()["beside"] == "success"
