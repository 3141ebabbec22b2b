"""Large loops go out in shards; pausing, skipping and cancelling reach inside them."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

import pytest
from temporalio.client import WorkflowExecutionStatus

from tests.engine.workflows.lab import Lab, Started, foreach, graph, pure

pytestmark = pytest.mark.asyncio(loop_scope="session")
BALLAST = 150  # I/O nodes that never run, so that a shard is 3000 // (4 + 6 * 151) = 3 passes


def heavy(*nodes: dict[str, Any], outputs: Any = None) -> dict[str, Any]:
    """A body that counts as so large that three passes fill a shard."""
    gate = pure("gate", 1, when="{{ False }}")
    ballast = [pure(f"b{number}", 1, isolate=True) for number in range(BALLAST)]
    edges = [{"source": "gate", "target": one["id"]} for one in ballast]
    edges += [{"source": a["id"], "target": b["id"]} for a, b in itertools.pairwise(nodes)]
    return graph(*nodes, gate, *ballast, edges=edges, outputs=outputs)


async def shards_of(lab: Lab, started: Started) -> dict[str, WorkflowExecutionStatus | None]:
    """Status of every shard by its Temporal workflow id."""
    found: dict[str, WorkflowExecutionStatus | None] = {}
    async for one in lab.stack.runtime.temporal.list_workflows(f'WorkflowId STARTS_WITH "{started.handle.id}/"'):
        found[one.id] = one.status
    return found


async def test_results_of_shards_are_in_order(lab: Lab) -> None:
    body = heavy(pure("io", "{{ item * 2 }}", isolate=True), outputs="{{ nodes.io.output }}")
    loop = foreach("loop", list(range(8)), body, concurrency=4)
    started = await lab.start(graph(loop, pure("after", "{{ nodes.loop.output }}")))
    ended = await started.end()
    assert await ended.output_of("after") == {"items": [0, 2, 4, 6, 8, 10, 12, 14], "iterations": 8, "broken": False}
    assert len(ended.all) == 2 + 8 * (2 + BALLAST)
    assert len(await shards_of(lab, started)) == 3


async def test_pause_holds_the_passes_of_shards(lab: Lab) -> None:
    loop = foreach("loop", list(range(6)), heavy(lab.hold("held"), lab.call("next")), concurrency=4)
    started = await lab.start(graph(loop))
    await lab.seen("held", 4)
    await started.command("pause")

    async def told() -> bool:
        states = [await _shard_status(lab, shard) for shard in await shards_of(lab, started)]
        return states == ["paused", "paused"]

    await lab.eventually(told)
    lab.release("held")
    await asyncio.sleep(0.5)  # nothing may start; there is no event for that
    assert lab.calls("next") == 0
    await started.command("resume")
    ended = await started.end()
    assert ended.status == "success"
    assert lab.calls("next") == 6


async def _shard_status(lab: Lab, shard: str) -> str:
    return (await lab.stack.runtime.temporal.get_workflow_handle(shard).query("state"))["status"]


async def test_cancel_ends_the_shards_and_records_their_nodes(lab: Lab) -> None:
    started = await lab.start(graph(foreach("loop", [0, 1, 2, 3], heavy(lab.hold("held")), concurrency=2)))
    await lab.seen("held", 2)
    await started.cancel()
    ended = await started.end()
    assert ended.status == "cancelled"
    assert ended.states()["loop"] == "cancelled"
    assert ended.states()["loop.body.held[0]"] == "cancelled"
    assert ended.states()["loop.body.held[3]"] == "cancelled"
    assert set((await shards_of(lab, started)).values()) <= {
        WorkflowExecutionStatus.COMPLETED,
        WorkflowExecutionStatus.CANCELED,
    }


async def test_skip_reaches_a_node_inside_a_shard(lab: Lab) -> None:
    body = heavy(lab.hold("held"), outputs="{{ nodes.held.output }}")
    started = await lab.start(graph(foreach("loop", list(range(4)), body, concurrency=2)))
    await lab.seen("held", 2)
    for index in (0, 3):  # the first passes of the two shards
        assert await started.command("skip", "loop.body.held", [index], output=f"s{index}")
    await lab.seen("held", 3)
    lab.release("held")
    ended = await started.end()
    items = (await ended.output_of("loop"))["items"]
    assert (items[0], items[1]["status"], items[2]["status"], items[3]) == ("s0", 200, 200, "s3")
    assert ended.nodes["loop.body.held[3]"].reason == "operator"


async def test_failure_in_a_shard_fails_the_loop_with_the_inner_error(lab: Lab) -> None:
    body = heavy(pure("io", "{{ 1 // (item - 4) }}", isolate=True))
    ended = await lab.run(graph(foreach("loop", list(range(8)), body)))
    assert ended.status == "failed"
    assert ended.error is not None
    assert ended.error["code"] == "EXPRESSION_ERROR"
    assert ended.states()["loop.body.io[4]"] == "failed"


async def test_item_errors_in_shards_keep_their_places(lab: Lab) -> None:
    body = heavy(pure("io", "{{ 12 // item }}", isolate=True), outputs="{{ nodes.io.output }}")
    loop = foreach("loop", [1, 0, 3, 4, 0], body, on_item_error="continue")
    ended = await lab.run(graph(loop))
    items = (await ended.output_of("loop"))["items"]
    assert [item if isinstance(item, int) else item["error"]["code"] for item in items] == [
        12, "EXPRESSION_ERROR", 4, 3, "EXPRESSION_ERROR",
    ]  # fmt: skip


async def test_retry_of_a_sharded_loop_runs_its_shards_again(lab: Lab) -> None:
    body = heavy(lab.call("io", "flaky", "?fails=1"))
    loop = foreach("loop", [0, 1, 2, 3], body, retry={"max_attempts": 2, "interval": "10ms"})
    ended = await lab.run(graph(loop))
    assert ended.status == "success"
    assert ended.nodes["loop"].attempts == 2
    assert ended.nodes["loop.body.io[3]"].generation == ended.nodes["loop"].generation


async def test_sharded_loop_that_fails_under_skip_passes_its_input_on(lab: Lab) -> None:
    body = heavy(pure("io", "{{ 1 // (item - 1) }}", isolate=True))
    loop = foreach("loop", list(range(4)), body, on_error="skip")
    ended = await lab.run(graph(pure("before", 5), loop, pure("after", "{{ nodes.loop.output }}")))
    assert ended.states()["loop"] == "skipped"
    assert await ended.output_of("after") == 5


async def test_container_inside_a_shard_is_retried_there(lab: Lab) -> None:
    branch = {"id": "only", **graph(lab.call("io", "flaky", "?fails=1"))}
    both = {"id": "both", "type": "parallel", "params": {"branches": [branch]}}
    body = heavy(both | {"retry": {"max_attempts": 2, "interval": "10ms"}})
    ended = await lab.run(graph(foreach("loop", list(range(4)), body)))
    assert ended.status == "success", ended.error
    assert ended.nodes["loop.body.both[0]"].attempts == 2


async def test_assign_of_a_sharded_loop_is_evaluated_once_on_its_whole_result(lab: Lab) -> None:
    body = heavy(pure("io", "{{ item }}", isolate=True), outputs="{{ nodes.io.output }}")
    assign = {"seen": "{{ vars.seen + [nodes.loop.output.iterations] }}"}
    loop = foreach("loop", list(range(4)), body, assign=assign)
    document = graph(loop, pure("after", "{{ vars.seen }}"), variables={"seen": {"default": []}})
    assert await (await lab.run(document)).output_of("after") == [4]


async def test_paused_shards_resume_after_their_parent_has_continued_as_new(short_lab: Lab) -> None:
    lab = short_lab
    loop = foreach("loop", list(range(6)), heavy(lab.hold("held"), lab.call("next")), concurrency=4)
    side = [lab.call(f"step{number}") for number in range(8)]
    last = lab.hold("last")
    edges = [{"source": f"step{number}", "target": f"step{number + 1}"} for number in range(7)]
    edges += [{"source": "step7", "target": "last"}]
    started = await lab.start({"nodes": [loop, *side, last], "edges": edges})
    await lab.seen("held", 4)
    await lab.seen("last")
    await started.command("pause")
    lab.release("last")  # its end drains the run: it continues as new, paused
    await started.until("last", "success")

    async def continued() -> bool:
        return await started.runs() > 1

    await lab.eventually(continued)
    lab.release("held")
    await started.command("resume")
    ended = await started.end()
    assert ended.status == "success"
    assert lab.calls("next") == 6


async def test_cancel_reaches_shards_of_an_earlier_run(short_lab: Lab) -> None:
    lab = short_lab
    loop = foreach("loop", list(range(6)), heavy(lab.hold("held")), concurrency=4)
    side = [lab.call(f"step{number}") for number in range(8)]
    edges = [{"source": f"step{number}", "target": f"step{number + 1}"} for number in range(7)]
    started = await lab.start({"nodes": [loop, *side], "edges": edges})
    await lab.seen("held", 4)
    await lab.seen("step7")

    async def continued() -> bool:
        return await started.runs() > 1

    await lab.eventually(continued)
    await started.cancel()
    ended = await started.end()
    assert ended.status == "cancelled"
    assert ended.states()["loop.body.held[1]"] == "cancelled"


async def test_shard_that_continues_as_new_keeps_its_results(short_lab: Lab) -> None:
    lab = short_lab
    nodes = [pure(f"io{number}", "{{ item }}", isolate=True) for number in range(4)]
    body = heavy(*nodes, outputs="{{ nodes.io3.output * 2 }}")
    started = await lab.start(graph(foreach("loop", list(range(8)), body)))
    ended = await started.end()
    assert (await ended.output_of("loop"))["items"] == [0, 2, 4, 6, 8, 10, 12, 14]
    assert len(ended.all) == 1 + 8 * (5 + BALLAST)
    histories = await lab.histories()
    shard_runs = [history for history in histories if "/" in history.workflow_id]
    assert len(shard_runs) > len({history.workflow_id for history in shard_runs})
