"""Loops and branches on the real engine, local and with I/O nodes, nested, broken off, timed out."""

from __future__ import annotations

from typing import Any

import pytest

from tests.engine.workflows.lab import Lab, chain, foreach, graph, pure

pytestmark = pytest.mark.asyncio(loop_scope="session")


def loop(node: str, kind: str, body: dict[str, Any], **params: Any) -> dict[str, Any]:
    return {"id": node, "type": "loop", "params": {"loop_type": kind, "body": body, **params}}


def parallel(node: str, *branches: dict[str, Any], **params: Any) -> dict[str, Any]:
    more = {key: params.pop(key) for key in ("retry", "on_error") if key in params}
    named = [{"id": f"b{number}", **branch} for number, branch in enumerate(branches)]
    return {"id": node, "type": "parallel", "params": {"branches": named, **params}, **more}


@pytest.mark.parametrize("isolate", [False, True])
async def test_while_sees_last_and_break_ends_it(lab: Lab, isolate: bool) -> None:
    body = graph(pure("n", "{{ index + 1 }}", isolate=isolate), outputs="{{ nodes.n.output }}")
    whiles = loop("counted", "while", body, condition="last is None or last < 4")
    body = graph(pure("m", "{{ index }}", isolate=isolate), outputs="{{ nodes.m.output }}")
    broken = loop("broken", "for", body, count=10, break_condition="last == 2")
    ended = await lab.run(graph(whiles, broken))
    assert await ended.output_of("counted") == {"items": [1, 2, 3, 4], "iterations": 4, "broken": False}
    assert await ended.output_of("broken") == {"items": [0, 1, 2], "iterations": 3, "broken": True}


async def test_break_cuts_off_later_passes_that_run(lab: Lab) -> None:
    first, later = lab.call("first", when="{{ item == 0 }}"), lab.hold("later", when="{{ item > 0 }}")
    body = {"nodes": [first, later], "edges": [], "outputs": "{{ item }}"}
    ended = await lab.run(graph(foreach("loop", [0, 1, 2], body, concurrency=3, break_condition="last == 0")))
    assert await ended.output_of("loop") == {"items": [0], "iterations": 1, "broken": True}
    assert ended.states()["loop.body.later[1]"] == "cancelled"


@pytest.mark.parametrize("isolate", [False, True])
async def test_item_error_keeps_its_place(lab: Lab, isolate: bool) -> None:
    body = graph(pure("n", "{{ 6 // item }}", isolate=isolate), outputs="{{ nodes.n.output }}")
    ended = await lab.run(graph(foreach("loop", [3, 0, 2], body, on_item_error="continue")))
    items = (await ended.output_of("loop"))["items"]
    assert [items[0], items[1]["error"]["code"], items[2]] == [2, "EXPRESSION_ERROR", 3]


@pytest.mark.parametrize("isolate", [False, True])
async def test_failing_pass_fails_the_loop_with_what_had_finished(lab: Lab, isolate: bool) -> None:
    body = graph(pure("n", "{{ 6 // item }}", isolate=isolate))
    ended = await lab.run(graph(foreach("loop", [3, 2, 0, 1], body, on_error="continue"), pure("after", 1)))
    assert ended.states()["loop"] == "failed"
    error = ended.nodes["loop"].error
    assert error is not None
    assert error["details"]["node"] == "loop.body.n"
    assert error["details"]["finished"] == [0, 1]
    assert "loop.body.n[3]" not in ended.nodes


async def test_too_many_passes_are_refused(lab: Lab) -> None:
    body = graph(pure("n", 1, isolate=True))
    ended = await lab.run(graph(loop("loop", "while", body, condition="True", max_iterations=3)))
    assert ended.error is not None
    assert ended.error["code"] == "RESOURCE_EXHAUSTED"
    assert sum("body" in place for place in ended.nodes) == 3


async def test_loop_with_io_bounds_its_passes(lab: Lab) -> None:
    url = lab.effects.url("/slow/" + lab.name("pass") + "-{{ index }}?ms=60")
    body = graph({"id": "n", "type": "http", "params": {"url": url}}, outputs="{{ item }}")
    ended = await lab.run(graph(foreach("loop", list(range(9)), body, concurrency=3)))
    assert (await ended.output_of("loop"))["items"] == list(range(9))
    assert lab.effects.peak[lab.name("pass")] == 3


async def test_local_loop_inside_a_mixed_one_and_the_other_way_round(lab: Lab) -> None:
    local = foreach("local", [1, 2], graph(pure("l", "{{ item * 10 }}"), outputs="{{ nodes.l.output }}"))
    mixed_body = graph(
        local, pure("io", "{{ nodes.local.output['items'] }}", isolate=True), outputs="{{ nodes.io.output }}"
    )
    mixed = foreach("mixed", ["a", "b"], mixed_body, concurrency=2)
    ended = await lab.run(graph(mixed, pure("after", "{{ nodes.mixed.output['items'] }}")))
    assert await ended.output() == {"after": [[10, 20], [10, 20]]}
    assert ended.states()["mixed.body.local.body.l[1.0]"] == "success"


@pytest.mark.parametrize("isolate", [False, True])
async def test_parallel_gives_the_outputs_of_its_branches(lab: Lab, isolate: bool) -> None:
    left = graph(pure("l", 1, isolate=isolate), outputs="{{ nodes.l.output }}")
    right = graph(pure("r", 2, isolate=isolate), outputs="{{ nodes.r.output + 1 }}")
    ended = await lab.run(graph(parallel("both", left, right)))
    assert await ended.output_of("both") == {"b0": 1, "b1": 3}


async def test_parallel_any_cancels_the_others(lab: Lab) -> None:
    ended = await lab.run(graph(parallel("race", graph(lab.call("fast")), graph(lab.hold("slow")), wait="any")))
    assert list(await ended.output_of("race")) == ["b0"]
    assert ended.states()["race.b1.slow"] == "cancelled"


async def test_parallel_n_out_of_reach_fails_at_once(lab: Lab) -> None:
    branches = [graph(lab.call("bad", "bad")), graph(lab.call("bad2", "bad")), graph(lab.hold("slow"))]
    ended = await lab.run(graph(parallel("race", *branches, wait=2)))
    assert ended.status == "failed"
    assert ended.error is not None
    assert ended.error["code"] == "EXTERNAL_ERROR"
    assert ended.states()["race.b2.slow"] == "cancelled"


async def test_parallel_timeout_cancels_and_fails(lab: Lab) -> None:
    ended = await lab.run(graph(parallel("race", graph(lab.hold("slow")), timeout="300ms", on_error="continue")))
    error = ended.nodes["race"].error
    assert error is not None
    assert error["code"] == "TIMEOUT"
    assert ended.states()["race.b0.slow"] == "cancelled"


async def test_container_is_retried_whole_in_a_new_generation(lab: Lab) -> None:
    body = graph(lab.call("first"), lab.call("flaky", "flaky", "?fails=1"))
    again = parallel("both", body, retry={"max_attempts": 2, "interval": "10ms"})
    ended = await lab.run(graph(again))
    assert ended.status == "success"
    assert lab.calls("first") == 2
    assert len({call.key for call in lab.effects.of(lab.name("first"))}) == 2
    assert ended.nodes["both"].attempts == 2


async def test_delay_and_retry_inside_a_body(lab: Lab) -> None:
    delay = {"id": "wait", "type": "delay", "params": {"delay": "50ms"}}
    flaky = lab.call("flaky", "flaky", "?fails=1", retry={"max_attempts": 2, "interval": "10ms"})
    ended = await lab.run(graph(foreach("loop", [1, 2], graph(delay, flaky))))
    assert ended.status == "success"
    assert ended.nodes["loop.body.flaky[0]"].attempts == 2
    assert ended.nodes["loop.body.flaky[1]"].attempts == 1


async def test_inner_failure_handled_inside_leaves_the_pass_alone(lab: Lab) -> None:
    nodes = [lab.call("bad", "bad"), pure("mend", "{{ item }}")]
    edges = [{"source": "bad", "source_port": "error", "target": "mend"}]
    body = {"nodes": nodes, "edges": edges, "outputs": "{{ nodes.mend.output }}"}
    ended = await lab.run(graph(foreach("loop", [1, 2], body)))
    assert (await ended.output_of("loop"))["items"] == [1, 2]


async def test_empty_loop_succeeds(lab: Lab) -> None:
    ended = await lab.run(graph(foreach("loop", [], graph(lab.call("never"))), pure("after", 1)))
    assert await ended.output_of("loop") == {"items": [], "iterations": 0, "broken": False}
    assert ended.states() == {"loop": "success", "after": "success"}


async def test_isolated_nodes_are_activities_and_local_ones_share_one(lab: Lab) -> None:
    nodes = [pure("a", 1), pure("b", 2), pure("c", 3, isolate=True), pure("d", 4, isolate=True)]
    ended = await lab.run(graph(*nodes))
    assert ended.events("activity_task_scheduled") == 2
    edges = chain("a", "b")
    local = await lab.run({"nodes": nodes[:2], "edges": edges})
    assert local.events("activity_task_scheduled") == 0
