"""Much data and many nodes: histories stay small, no workflow task passes its bounds, nothing holds others up."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from tests.engine.workflows.lab import Ended, Lab, chain, foreach, graph, pure

pytestmark = pytest.mark.asyncio(loop_scope="session")
MAX_EVENTS = 10_240


def layered(width: int, depth: int, **more: Any) -> dict[str, Any]:
    """Layers of `width` nodes; each reads the node above it and is joined to the one beside that as well."""
    nodes, edges = [], []
    for layer in range(depth):
        for place in range(width):
            above = f"n{layer - 1}_{place}"
            mapping = f"{{{{ nodes.{above}.output }}}}" if layer else place
            nodes.append(pure(f"n{layer}_{place}", mapping, **more))
            if layer:
                beside = f"n{layer - 1}_{(place + 1) % width}"
                edges += [
                    {"source": source, "target": f"n{layer}_{place}"} for source in dict.fromkeys((above, beside))
                ]
    return {"nodes": nodes, "edges": edges, "outputs": f"{{{{ nodes.n{depth - 1}_0.output }}}}"}


async def longest_history(lab: Lab) -> int:
    return max(len(history.events) for history in await lab.histories())


def assert_all_succeeded(ended: Ended, count: int) -> None:
    assert ended.status == "success"
    assert len(ended.all) == count
    assert {row.status for row in ended.all} == {"success"}


@pytest.mark.parametrize("more", [{}, {"isolate": True}], ids=["local", "isolated"])
async def test_layered_graph(lab: Lab, more: dict[str, Any]) -> None:
    ended = await lab.run(layered(20, 15, **more))
    assert_all_succeeded(ended, 300)
    assert await ended.output() == 0


@pytest.mark.slow
async def test_layered_graph_of_ten_thousand_local_nodes(lab: Lab) -> None:
    started = await lab.start(layered(100, 100))
    ended = await started.end(timeout_s=300)
    assert_all_succeeded(ended, 10_000)
    assert await longest_history(lab) < MAX_EVENTS


@pytest.mark.slow
async def test_layered_graph_of_ten_thousand_isolated_nodes(lab: Lab) -> None:
    started = await lab.start(layered(200, 50, isolate=True))
    ended = await started.end(timeout_s=400)
    assert_all_succeeded(ended, 10_000)
    assert await longest_history(lab) < MAX_EVENTS


async def test_large_output_goes_by_reference_through_many_nodes(lab: Lab) -> None:
    await _pass_on(lab, megabytes=4)


@pytest.mark.slow
async def test_fifty_megabytes_through_ten_nodes_leave_a_small_history(lab: Lab) -> None:
    await _pass_on(lab, megabytes=50)


async def _pass_on(lab: Lab, *, megabytes: int) -> None:
    size = megabytes * 1_000_000
    url = lab.effects.url(f"/size/{size}")
    source = {
        "id": "n0",
        "type": "http",
        "params": {"url": url, "max_response_bytes": 60_000_000},
        "timeout": "60s",
    }
    nodes = [source]
    nodes += [
        pure(f"n{number}", f"{{{{ nodes.n{number - 1}.output }}}}", isolate=number % 2 == 0, timeout="60s")
        for number in range(1, 10)
    ]
    started = await lab.start(graph(*nodes, outputs="{{ nodes.n9.status }}"))
    ended = await started.end(timeout_s=120)
    assert ended.status == "success", ended.error
    assert all(ended.nodes[f"n{number}"].output.keys() >= {"r"} for number in range(10))  # pyright: ignore
    assert len((await ended.output_of("n9"))["body"]) == size
    assert ended.history_bytes < 1_000_000


@pytest.mark.parametrize(("bytes_each", "form"), [(30_000, "v"), (40_000, "r")])
async def test_outputs_over_32_kb_are_references(lab: Lab, bytes_each: int, form: str) -> None:
    nodes = [pure("a", "{{ 'x' * input.n }}", isolate=True), pure("b", "{{ nodes.a.output }}")]
    ended = await lab.run(graph(*nodes), {"n": bytes_each})
    output = ended.nodes["b"].output
    assert output is not None
    assert form in output
    assert await ended.output_of("b") == "x" * bytes_each


async def test_commands_of_one_workflow_task_stay_within_its_bounds(lab: Lab) -> None:
    """60 activities that become ready at once, each with an input of 60 KB: 3.6 MB in all."""
    await _fan_out(lab, 60, 30_000)


@pytest.mark.slow
async def test_five_hundred_activities_with_large_inputs(lab: Lab) -> None:
    await _fan_out(lab, 500, 15_000)


async def _fan_out(lab: Lab, count: int, bytes_each: int) -> None:
    sources = [pure(f"s{number}", "{{ 'x' * input.n }}", isolate=True) for number in range(2)]
    mapping = "{{ [len(nodes.s0.output), len(nodes.s1.output)] }}"
    fan = [pure(f"n{number}", mapping, isolate=True) for number in range(count)]
    edges = [{"source": source, "target": one["id"]} for source in ("s0", "s1") for one in fan]
    document = {"nodes": [*sources, *fan], "edges": edges, "settings": {"max_parallel_nodes": 500}}
    started = await lab.start(document, {"n": bytes_each})
    ended = await started.end(timeout_s=200)
    assert_all_succeeded(ended, count + 2)
    assert await ended.output_of("n0") == [bytes_each, bytes_each]
    assert ended.events("workflow_task_failed") == 0


async def test_loop_of_many_io_passes_goes_out_in_shards(lab: Lab) -> None:
    await _many_passes(lab, 700, 50)


@pytest.mark.slow
async def test_loop_of_ten_thousand_io_passes(lab: Lab) -> None:
    await _many_passes(lab, 10_000, 50, timeout_s=550)


async def _many_passes(lab: Lab, count: int, concurrency: int, *, timeout_s: float = 90) -> None:
    body = graph(pure("n", "{{ item * 2 }}", isolate=True), outputs="{{ nodes.n.output }}")
    loop = foreach("loop", "{{ list(range(input.n)) }}", body, concurrency=concurrency, max_iterations=10_000)
    started = await lab.start(graph(loop, outputs="{{ sum(nodes.loop.output['items']) }}"), {"n": count})
    ended = await started.end(timeout_s=timeout_s)
    assert_all_succeeded(ended, count + 1)
    assert await ended.output() == count * (count - 1)
    assert await longest_history(lab) < MAX_EVENTS


async def test_region_beside_io_does_not_hold_up_the_next_io_node(lab: Lab) -> None:
    """A local loop of about a second runs beside a chain of I/O nodes; the chain is done long before the loop."""
    body = graph(pure("burn", "{{ sum([x * x for x in range(3000)]) }}"), outputs="{{ nodes.burn.output }}")
    heavy = foreach("heavy", "{{ list(range(800)) }}", body)
    io = [lab.call(f"io{number}") for number in range(6)]
    ended = await lab.run({"nodes": [heavy, *io], "edges": chain(*(one["id"] for one in io))})
    assert ended.status == "success"
    calls = [lab.effects.of(lab.name(f"io{number}"))[0] for number in range(6)]
    gaps_ms = [round((after.started - before.ended) * 1000) for before, after in itertools.pairwise(calls)]
    finished = [ended.nodes[f"io{number}"].finished_at for number in range(6)]
    loop_end = ended.nodes["heavy"].finished_at
    assert loop_end is not None
    print("gaps between one I/O node's end and the next one's start, ms:", gaps_ms)
    assert all(moment is not None and moment < loop_end for moment in finished), gaps_ms
