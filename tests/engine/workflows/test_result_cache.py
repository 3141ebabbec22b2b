"""`cache: {ttl}` through Temporal: who runs, what is shown, and what is never kept."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.engine.workflows.lab import Ended, Lab, foreach, graph, pure

pytestmark = pytest.mark.asyncio(loop_scope="session")

CACHE: dict[str, Any] = {"cache": {"ttl": "1h"}}


def cached(ended: Ended) -> dict[str, bool]:
    return {place: row.cached for place, row in ended.nodes.items()}


async def test_a_second_execution_takes_the_result_of_the_first(lab: Lab) -> None:
    document = graph(lab.call("call", **CACHE), pure("after", "{{ nodes.call.output.body }}"))
    first, second = await lab.run(document), await lab.run(document)
    assert (first.status, second.status) == ("success", "success")
    assert lab.calls("call") == 1
    assert (cached(first), cached(second)) == ({"call": False, "after": False}, {"call": True, "after": False})
    assert await first.output_of("call") == await second.output_of("call")
    assert second.nodes["call"].attempts == 1


async def test_without_cache_every_execution_runs(lab: Lab) -> None:
    document = graph(lab.call("call"))
    first, second = await lab.run(document), await lab.run(document)
    assert lab.calls("call") == 2
    assert not any((*cached(first).values(), *cached(second).values()))


async def test_executions_at_the_same_time_run_it_once(lab: Lab) -> None:
    document = graph(lab.hold("call", **CACHE))
    started = [await lab.start(document) for _ in range(5)]
    await lab.seen("call")
    lab.release("call")
    ended = await asyncio.gather(*(one.end() for one in started))
    assert [one.status for one in ended] == ["success"] * 5
    assert lab.calls("call") == 1
    assert sorted(one.nodes["call"].cached for one in ended) == [False, True, True, True, True]


async def test_another_input_is_another_call(lab: Lab) -> None:
    document = graph(lab.call("call", query="?n={{ input.n }}", **CACHE))
    ended = [await lab.run(document, {"n": n}) for n in (1, 2, 1)]
    assert lab.calls("call") == 2
    assert [one.nodes["call"].cached for one in ended] == [False, False, True]


async def test_a_failure_is_not_kept(lab: Lab) -> None:
    document = graph(lab.call("call", "bad", on_error="continue", **CACHE))
    ended = [await lab.run(document), await lab.run(document)]
    assert [one.nodes["call"].status for one in ended] == ["failed", "failed"]
    assert lab.calls("call") == 2
    assert not any(one.nodes["call"].cached for one in ended)


async def test_assign_and_ports_follow_a_result_that_was_there(lab: Lab) -> None:
    ask: dict[str, Any] = {
        "id": "ask",
        "type": "condition",
        "params": {"conditions": [{"condition": "input.n > 1", "output_port": "big"}]},
        **CACHE,
    }
    document = graph(
        lab.call("call", query="?n={{ input.n }}", assign={"status": "{{ nodes.call.output.status }}"}, **CACHE),
        ask,
        pure("big", "{{ vars.status }}"),
        pure("small", 1),
        edges=[
            {"source": "call", "target": "ask"},
            {"source": "ask", "source_port": "big", "target": "big"},
            {"source": "ask", "source_port": "else", "target": "small"},
        ],
        variables={"status": {"default": 0}},
    )
    for hit in (False, True):
        ended = await lab.run(document, {"n": 2})
        assert ended.states() == {"call": "success", "ask": "success", "big": "success", "small": "pruned"}
        assert cached(ended) == {"call": hit, "ask": hit, "big": False, "small": False}
        assert await ended.output_of("big") == 200


async def test_local_nodes_in_loops_are_cached_item_by_item(lab: Lab) -> None:
    body = graph(pure("double", "{{ item * 2 + input.base }}", **CACHE), outputs="{{ nodes.double.output }}")
    document = graph(foreach("each", [1, 2, 1], body), outputs="{{ nodes.each.output.items }}")
    ended = await lab.run(document, {"base": 10_000 + int(str(lab.tenant)[-4:], 16)})
    again = await lab.run(document, {"base": 10_000 + int(str(lab.tenant)[-4:], 16)})
    assert await ended.output() == await again.output()
    hits = [ended.nodes[f"each.body.double[{number}]"].cached for number in range(3)]
    assert hits == [False, False, True]
    assert all(again.nodes[f"each.body.double[{number}]"].cached for number in range(3))


async def test_a_large_result_is_kept_by_reference(lab: Lab) -> None:
    document = graph(pure("make", "{{ [input.n] * 20000 }}", **CACHE), pure("count", "{{ len(nodes.make.output) }}"))
    ended = [await lab.run(document, {"n": 7}), await lab.run(document, {"n": 7})]
    assert [one.nodes["make"].cached for one in ended] == [False, True]
    assert [await one.output_of("count") for one in ended] == [20000, 20000]
    assert "r" in (ended[1].nodes["make"].output or {})
