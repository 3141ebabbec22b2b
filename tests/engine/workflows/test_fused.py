"""Fused dispatch on real servers: many short I/O nodes in one activity, with the meaning that they have alone."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from temporalio.api.enums.v1 import PendingActivityState
from temporalio.testing import ActivityEnvironment

from engine.activities.activities import Activities
from engine.contracts import SegmentRequest
from engine.dag.outcome import Outcome
from tests.engine.workflows.lab import Ended, Lab, Started, chain, foreach, graph, pure

CANCELLING = PendingActivityState.PENDING_ACTIVITY_STATE_CANCEL_REQUESTED
pytestmark = pytest.mark.asyncio(loop_scope="session")


def fused(*nodes: dict[str, Any], **more: Any) -> dict[str, Any]:
    settings = {"dispatch": "fused", **more.pop("settings", {})}
    return graph(*nodes, settings=settings, **more)


def activities_of(ended: Ended) -> list[str]:
    """Types of the activities of an execution, local ones left out."""
    scheduled = [event.activity_task_scheduled_event_attributes for event in ended.history.events]
    return [one.activity_type.name for one in scheduled if one.activity_type.name]


async def interrupted(started: Started) -> None:
    """Return once a segment of the execution has asked what it must stop."""

    async def is_asked() -> bool:
        description = await started.handle.describe()
        return any(
            one.attempt and one.HasField("last_heartbeat_time") and one.state == CANCELLING
            for one in description.raw_description.pending_activities
        )

    await started.lab.eventually(is_asked)


async def test_a_chain_of_io_and_local_nodes_is_one_activity(lab: Lab) -> None:
    nodes = [lab.call("a"), pure("b", {"from": "{{ nodes.a.output.status }}"}), lab.call("c"), lab.call("d")]
    ended = await lab.run(fused(*nodes, outputs={"b": "{{ nodes.b.output }}"}))
    assert (ended.status, await ended.output()) == ("success", {"b": {"from": 200}})
    assert activities_of(ended) == ["run_segment"]
    assert [lab.calls(node) for node in "acd"] == [1, 1, 1]
    assert ended.states() == dict.fromkeys("abcd", "success")


async def test_without_the_setting_each_io_node_has_an_activity(lab: Lab) -> None:
    ended = await lab.run(graph(lab.call("a"), lab.call("b")))
    assert activities_of(ended) == ["execute_node", "execute_node"]


async def test_nodes_of_a_segment_run_beside_one_another_within_the_limit(lab: Lab) -> None:
    names = [f"n{number}" for number in range(5)]
    document = fused(*(lab.hold(name) for name in names), edges=[], settings={"max_parallel_nodes": 3})
    started = await lab.start(document)
    for name in names[:3]:
        await lab.seen(name)
    assert [lab.calls(name) for name in names[3:]] == [0, 0]
    for name in names:
        lab.release(name)
    assert (await started.end()).status == "success"


async def test_a_node_that_fails_goes_on_by_its_policy_as_its_own_activity(lab: Lab) -> None:
    retry = {"strategy": "fixed", "interval": "50ms", "max_attempts": 3}
    broken = lab.call("b", "flaky", "?fails=1", retry=retry)
    ended = await lab.run(fused(lab.call("a"), broken, lab.call("c")))
    assert ended.status == "success"
    assert ended.nodes["b"].attempts == 2
    assert activities_of(ended) == ["run_segment", "execute_node", "run_segment"]


async def test_pause_lets_running_nodes_of_a_segment_finish_and_starts_nothing(lab: Lab) -> None:
    started = await lab.start(fused(lab.hold("a"), lab.call("b")))
    await lab.seen("a")
    assert await started.command("pause")
    await interrupted(started)
    lab.release("a")
    await started.until("a", "success")
    assert lab.calls("b") == 0
    assert await started.command("resume")
    ended = await started.end()
    assert (ended.status, lab.calls("a"), lab.calls("b")) == ("success", 1, 1)


async def test_cancel_ends_the_nodes_of_a_segment(lab: Lab) -> None:
    started = await lab.start(fused(lab.call("a"), lab.hold("b"), lab.call("c")))
    await lab.seen("b")
    await started.cancel()
    ended = await started.end(timeout_s=20)
    assert ended.status == "cancelled"
    assert ended.states() == {"a": "success", "b": "cancelled", "c": "cancelled"}
    assert (lab.calls("a"), lab.calls("c")) == (1, 0)


async def test_skip_of_a_node_that_runs_in_a_segment_takes_the_output_given(lab: Lab) -> None:
    document = fused(
        lab.call("a"), lab.hold("b"), pure("c", "{{ nodes.b.output }}"), outputs={"c": "{{ nodes.c.output }}"}
    )
    started = await lab.start(document)
    await lab.seen("b")
    assert await started.command("skip", "b", output={"given": 1})
    ended = await started.end()
    assert (ended.status, await ended.output()) == ("success", {"c": {"given": 1}})
    assert (lab.calls("a"), ended.states()["b"]) == (1, "skipped")


async def test_skip_of_a_node_that_the_segment_has_ended_changes_nothing(lab: Lab) -> None:
    started = await lab.start(fused(lab.call("a"), lab.hold("b"), outputs={"a": "{{ nodes.a.output.status }}"}))
    await lab.seen("b")
    skip = asyncio.create_task(started.command("skip", "a", output=1))
    await interrupted(started)
    lab.release("b")
    assert await skip is False
    ended = await started.end()
    assert (ended.status, await ended.output(), ended.states()["a"]) == ("success", {"a": 200}, "success")


async def test_a_failure_cancels_what_runs_beside_it_in_the_segment(lab: Lab) -> None:
    edges = [*chain("a", "b"), *chain("a", "bad")]
    started = await lab.start(fused(lab.call("a"), lab.hold("b"), lab.call("bad", "bad"), edges=edges))
    ended = await started.end()
    assert ended.status == "failed"
    assert ended.states() == {"a": "success", "b": "cancelled", "bad": "failed"}


async def test_handled_failures_stay_in_the_segment(lab: Lab) -> None:
    bad = lab.call("bad", "bad", on_error="continue")
    ended = await lab.run(fused(bad, lab.call("after")))
    assert (ended.status, ended.row.handled_failures) == ("success", 1)
    assert activities_of(ended) == ["run_segment"]


async def test_isolated_and_long_nodes_leave_the_segment(lab: Lab) -> None:
    nodes = [lab.call("a"), lab.call("b", isolate=True), lab.call("c"), lab.call("d", timeout="2m"), lab.call("e")]
    ended = await lab.run(fused(*nodes))
    assert activities_of(ended) == ["run_segment", "execute_node", "run_segment", "execute_node", "run_segment"]


async def test_what_waits_for_a_segment_does_not_wait_for_all_of_it(lab: Lab) -> None:
    """A node outside that is ready ends the segment, though more could be done in it."""
    edges = [*chain("a", "alone"), *chain("a", "b"), *chain("b", "c")]
    document = fused(lab.call("a"), lab.hold("alone", isolate=True), lab.hold("b"), lab.call("c"), edges=edges)
    started = await lab.start(document)
    await lab.seen("b")
    lab.release("b")
    await lab.seen("alone")
    lab.release("alone")
    ended = await started.end()
    assert ended.status == "success"
    assert [lab.calls(node) for node in ("a", "alone", "b", "c")] == [1, 1, 1, 1]


async def test_passes_of_a_loop_share_a_segment(lab: Lab) -> None:
    loop = foreach("each", [1, 2, 3, 4], graph(lab.call("call"), pure("step", "{{ item * 2 }}")), concurrency=4)
    ended = await lab.run(fused(loop, outputs={"all": "{{ nodes.each.output.items }}"}))
    assert ended.status == "success"
    assert (await ended.output())["all"] == [{"step": item * 2} for item in (1, 2, 3, 4)]
    assert activities_of(ended) == ["run_segment"]
    assert lab.calls("call") == 4


async def test_a_later_try_finds_what_is_committed_and_runs_none_of_it_again(lab: Lab) -> None:
    ended = await lab.run(fused(lab.call("a"), lab.call("bad", "bad", on_error="continue"), lab.call("c")))
    scheduled = next(one for one in ended.history.events if one.HasField("activity_task_scheduled_event_attributes"))
    payloads = scheduled.activity_task_scheduled_event_attributes.input.payloads
    runtime = lab.stack.runtime
    (request,) = await runtime.temporal.data_converter.decode(list(payloads), [SegmentRequest])
    environment = ActivityEnvironment()
    environment.info = replace(environment.info, attempt=2)
    result = await environment.run(Activities(runtime).run_segment, request)
    assert [Outcome.from_wire(row[3]).status for row in result.outcomes] == ["success", "failed", "success"]
    assert result.closed
    assert [lab.calls(node) for node in ("a", "bad", "c")] == [1, 1, 1]


async def test_large_outputs_end_a_segment_early(lab: Lab) -> None:
    def sized(node: str) -> dict[str, Any]:
        return {"id": node, "type": "http", "params": {"url": lab.effects.url("/size/30000")}}

    ended = await lab.run(
        fused(*(sized(f"n{number}") for number in range(45)), outputs={"last": "{{ nodes.n44.output.status }}"})
    )
    assert (ended.status, await ended.output()) == ("success", {"last": 200})
    assert activities_of(ended).count("run_segment") > 1
