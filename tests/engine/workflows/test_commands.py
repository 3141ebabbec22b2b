"""What people may ask of a running execution: pause, resume, skip, retry now, cancel."""

from __future__ import annotations

import asyncio
import time

import pytest
from temporalio.client import WorkflowUpdateFailedError
from temporalio.service import RPCError

from tests.engine.workflows.lab import Lab, Started, chain, foreach, graph, pure

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_pause_lets_running_nodes_finish_and_starts_nothing(lab: Lab) -> None:
    started = await lab.start(graph(lab.hold("first"), lab.call("second"), pure("third", "{{ nodes.second.status }}")))
    await lab.seen("first")
    assert await started.command("pause")
    lab.release("first")
    await started.until("first", "success")
    state = await started.handle.query("state")
    assert state["status"] == "paused"
    assert lab.calls("second") == 0
    assert await started.status_of("second") == "pending"

    assert await started.command("resume")
    ended = await started.end()
    assert ended.states() == {"first": "success", "second": "success", "third": "success"}
    assert await ended.output() == {"third": "success"}


async def test_timer_that_fires_while_paused_waits_for_resume(lab: Lab) -> None:
    delay = {"id": "wait", "type": "delay", "params": {"delay": "200ms"}}
    started = await lab.start(graph(delay, lab.call("after")))
    await started.until("wait", "waiting")
    await started.command("pause")
    await started.until("wait", "success")
    assert lab.calls("after") == 0
    await started.command("resume")
    ended = await started.end()
    assert ended.states() == {"wait": "success", "after": "success"}


async def test_cancel_while_paused_ends_at_once(lab: Lab) -> None:
    started = await lab.start(graph(lab.hold("first"), lab.call("second")))
    await lab.seen("first")
    await started.command("pause")
    lab.release("first")
    await started.until("first", "success")
    await started.cancel()
    ended = await started.end()
    assert ended.status == "cancelled"
    assert ended.states() == {"first": "success", "second": "cancelled"}


async def test_cancel_ends_running_nodes_and_runs_no_handlers(lab: Lab) -> None:
    started = await lab.start(graph(lab.hold("running"), lab.call("never"), handlers=graph(lab.call("handler"))))
    await lab.seen("running")
    await started.cancel()
    ended = await started.end()
    assert ended.status == "cancelled"
    assert ended.states() == {"running": "cancelled", "never": "cancelled"}
    assert ended.error is not None
    assert ended.error["code"] == "CANCELLED"
    assert lab.calls("handler") == 0


@pytest.mark.parametrize("age_s", [0.0, 2.0])
async def test_cancel_of_a_long_node_acts_within_about_a_second(lab: Lab, age_s: float) -> None:
    """The node hears of it with its next beat: 0.25, 0.75 and 1.75 s after its start, then each second."""
    started = await lab.start(graph(lab.hold("long", timeout="120s")))
    await lab.seen("long")
    await asyncio.sleep(age_s)  # how long it has run is what the case is about
    began = time.monotonic()
    await started.cancel()
    ended = await started.end()
    assert time.monotonic() - began < 20  # 1 s until the beat, and a loaded machine
    assert ended.states() == {"long": "cancelled"}


async def test_cancel_acts_inside_a_delay(lab: Lab) -> None:
    delay = {"id": "wait", "type": "delay", "params": {"delay": "1h"}}
    started = await lab.start(graph(delay, pure("after", 1)))
    await started.until("wait", "waiting")
    await started.cancel()
    ended = await started.end()
    assert ended.states() == {"wait": "cancelled", "after": "cancelled"}


async def test_cancel_acts_inside_nested_bodies(lab: Lab) -> None:
    inner = foreach("inner", [1, 2], graph(lab.hold("deep")), concurrency=2)
    started = await lab.start(graph(foreach("outer", [1, 2], graph(inner), concurrency=2), pure("after", 1)))
    await lab.seen("deep", 4)
    await started.cancel()
    ended = await started.end()
    assert ended.status == "cancelled"
    assert set(ended.states().values()) == {"cancelled"}
    assert sum("deep" in place for place in ended.nodes) == 4


async def test_cancel_that_comes_while_the_record_is_closed_keeps_the_final_state(lab: Lab) -> None:
    """Whatever wins the race, the row is closed and agrees with Temporal."""
    started = [await lab.start(graph(pure("a", number))) for number in range(12)]
    await asyncio.gather(*(_cancel_soon(one, number) for number, one in enumerate(started)))
    for one in started:
        ended = await one.end()
        assert ended.status in ("success", "cancelled")


async def _cancel_soon(started: object, number: int) -> None:
    await asyncio.sleep(number * 0.004)
    try:
        await started.cancel()  # type: ignore[attr-defined]
    except RPCError:
        return  # it had ended


async def test_skip_gives_a_pending_node_its_output_without_running_it(lab: Lab) -> None:
    started = await lab.start(
        graph(lab.hold("first"), lab.call("second"), pure("third", "{{ nodes.second.output.x }}"))
    )
    await lab.seen("first")
    assert await started.command("skip", "second", output={"x": 7})
    lab.release("first")
    ended = await started.end()
    assert lab.calls("second") == 0
    assert ended.nodes["second"].reason == "operator"
    assert ended.states() == {"first": "success", "second": "skipped", "third": "success"}
    assert await ended.output() == {"third": 7}


async def test_skip_ends_a_running_node_with_the_output(lab: Lab) -> None:
    started = await lab.start(graph(lab.hold("stuck"), pure("after", "{{ nodes.stuck.output.x }}")))
    await lab.seen("stuck")
    assert await started.command("skip", "stuck", output={"x": 7})
    ended = await started.end()
    assert ended.states() == {"stuck": "skipped", "after": "success"}
    assert await ended.output() == {"after": 7}
    assert await ended.output_of("stuck") == {"x": 7}


async def test_skip_of_the_last_node_is_answered_as_the_record_has_it(lab: Lab) -> None:
    """Its activity closes the record itself: whichever comes first, answer, record and result say the same."""
    nodes = [f"last{number}" for number in range(16)]
    started = [await lab.start(graph(lab.hold(node))) for node in nodes]
    await asyncio.gather(*(lab.seen(node) for node in nodes))
    races = zip(started, nodes, range(16), strict=True)
    answers = await asyncio.gather(*(_skip_after_release(lab, one, node, turn) for one, node, turn in races))
    for one, node, answer in zip(started, nodes, answers, strict=True):
        ended = await one.end()
        assert ended.states()[node] == ("skipped" if answer else "success")
        assert (await ended.output() == {node: "mine"}) is answer
        assert (await lab.load((await one.handle.result())["output"]) == {node: "mine"}) is answer
    assert not await _skip_is_taken(started[0], nodes[0])


async def _skip_after_release(lab: Lab, started: Started, node: str, turn: int) -> bool:
    """Half of the nodes are released first, by ever more, and some so early that they have ended."""
    if turn % 2:
        lab.release(node)
        await asyncio.sleep(turn * 0.002)
    answer = await _skip_is_taken(started, node)
    lab.release(node)
    return answer


async def _skip_is_taken(started: Started, node: str) -> bool:
    """Whether the skip was taken."""
    try:
        return await started.command("skip", node, output="mine")
    except (WorkflowUpdateFailedError, RPCError):
        return False  # the execution has ended


async def test_skip_ends_a_delay_and_a_whole_loop(lab: Lab) -> None:
    delay = {"id": "wait", "type": "delay", "params": {"delay": "1h"}}
    loop = foreach("loop", [1, 2, 3], graph(lab.hold("body")))
    nodes = [delay, loop, pure("after", ["{{ nodes.wait.output }}", "{{ nodes.loop.output }}"])]
    started = await lab.start({"nodes": nodes, "edges": [*chain("wait", "after"), *chain("loop", "after")]})
    await lab.seen("body")
    await started.until("wait", "waiting")
    assert await started.command("skip", "wait", output="w")
    assert await started.command("skip", "loop", output="l")
    ended = await started.end()
    assert await ended.output() == {"after": ["w", "l"]}
    assert ended.states() == {
        "wait": "skipped",
        "loop": "skipped",
        "loop.body.body[0]": "cancelled",
        "after": "success",
    }


async def test_skip_of_a_settled_or_unknown_node_is_refused(lab: Lab) -> None:
    started = await lab.start(graph(pure("done", 1), lab.hold("running")))
    await lab.seen("running")
    assert not await started.command("skip", "done", output=2)
    assert not await started.command("skip", "nobody", output=2)
    lab.release("running")
    ended = await started.end()
    assert await ended.output_of("done") == 1


async def test_unknown_command_is_an_error_that_changes_nothing(lab: Lab) -> None:
    started = await lab.start(graph(lab.hold("running")))
    await lab.seen("running")
    with pytest.raises(WorkflowUpdateFailedError):
        await started.command("explode")
    lab.release("running")
    assert (await started.end()).status == "success"


async def test_retry_now_ends_the_wait_and_respects_the_attempts_left(lab: Lab) -> None:
    retry = {"max_attempts": 3, "interval": "1h", "strategy": "fixed"}
    started = await lab.start(graph(lab.call("flaky", "flaky", "?fails=9", retry=retry)))
    for attempt in (1, 2):
        await lab.seen("flaky", attempt)
        await _retry_until_seen(lab, started, "flaky", attempt + 1)
    ended = await started.end()
    assert ended.status == "failed"
    assert lab.calls("flaky") == 3
    assert ended.nodes["flaky"].attempts == 3
    assert len({call.key for call in lab.effects.of(lab.name("flaky"))}) == 1


async def _retry_until_seen(lab: Lab, started: object, node: str, count: int) -> None:
    """Ask once the attempt has ended; while it runs, asking would interrupt it."""
    rows = started._rows  # type: ignore[attr-defined]

    async def waits() -> bool:
        return any(row.status == "retrying" and row.attempts == count - 1 for row in await rows())

    await lab.eventually(waits)
    assert await started.command("retry_now", node)  # type: ignore[attr-defined]
    await lab.seen(node, count)


async def test_retry_now_of_a_local_node_that_waits(lab: Lab) -> None:
    retry = {"max_attempts": 2, "interval": "1h"}
    loop = foreach("loop", [1], graph(lab.call("bad", "bad")), retry=retry)
    started = await lab.start(graph(loop))
    await started.until("loop", "retrying")
    assert await started.command("retry_now", "loop")
    ended = await started.end()
    assert ended.status == "failed"
    assert lab.calls("bad") == 2
    assert ended.nodes["loop"].attempts == 2


async def test_retry_now_of_a_node_that_does_not_wait_is_refused(lab: Lab) -> None:
    started = await lab.start(graph(pure("done", 1), lab.hold("running")))
    await lab.seen("running")
    assert not await started.command("retry_now", "done")
    lab.release("running")
    assert (await started.end()).status == "success"
