"""What StructForge is compared with: Temporal workflows written by hand, one activity for each node.

The graphs are static code of the worker (a WfFormat file is read at its start), a node starts when its parents are
done, and an activity gets its parents' outputs as arguments. The worker has the options of StructForge's own.
Run as `python -m benchmarks.handwritten [WFFORMAT PATH]` with the settings of StructForge in the environment.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.worker import PollerBehaviorSimpleMaximum, UnsandboxedWorkflowRunner, Worker

from benchmarks.documents import ABREAST
from benchmarks.graphs import BUILT_IN, LARGE, Graph, graph_named
from engine.settings import Settings, load_settings

TASK_QUEUE = "handwritten"
_TIMEOUT = timedelta(seconds=60)

# Static for as long as the process lives, as code would be; set before the worker starts.
_GRAPHS: dict[str, Graph] = {}


@activity.defn
async def read_parents(node: int, parents: list[Any]) -> dict[str, Any]:
    """What the `plain` transform node does."""
    return {"id": node, "parents": [parent["id"] for parent in parents]}


@workflow.defn(name="handwritten-one")
class OneNode:
    @workflow.run
    async def run(self) -> dict[str, Any]:
        return {"n0": await _run(0, [])}


@workflow.defn(name="handwritten-chain")
class Chain:
    @workflow.run
    async def run(self) -> dict[str, Any]:
        outputs: list[Any] = []
        for node in range(len(_GRAPHS["chain"].parents)):
            outputs.append(await _run(node, outputs[-1:]))
        return {f"n{len(outputs) - 1}": outputs[-1]}


@workflow.defn(name="handwritten-graph")
class AnyGraph:
    """Every node is a coroutine that waits for its parents; it starts the moment the last of them is done."""

    @workflow.run
    async def run(self, name: str) -> dict[str, Any]:
        graph, tasks = _GRAPHS[name], list[asyncio.Task[Any]]()

        async def follow(node: int, parents: tuple[int, ...]) -> Any:
            return await _run(node, [await tasks[parent] for parent in parents])

        for node, parents in enumerate(graph.parents):
            tasks.append(asyncio.create_task(follow(node, parents)))
        return {f"n{sink}": await tasks[sink] for sink in graph.sinks}


@workflow.defn(name="handwritten-foreach")
class Foreach:
    """Every pass is an activity, `ABREAST` at a time; Temporal refuses more than 2,000 that wait."""

    @workflow.run
    async def run(self) -> list[Any]:
        count = len(_GRAPHS["foreach"].parents)
        outputs: list[Any] = [None] * count
        left = iter(range(count))

        async def work() -> None:
            for number in left:
                outputs[number] = await _run(number, [])

        await asyncio.gather(*[work() for _ in range(ABREAST)])
        return outputs


def _run(node: int, parents: list[Any]) -> Any:
    return workflow.execute_activity(read_parents, args=[node, parents], start_to_close_timeout=_TIMEOUT)


def workflow_of(graph: Graph) -> tuple[str, list[Any]]:
    """Name and arguments of the Temporal workflow that runs `graph`."""
    if graph.name in ("one", "chain", "foreach"):
        return f"handwritten-{graph.name}", []
    return "handwritten-graph", [graph.name]


def build_worker(settings: Settings, client: Client) -> Worker:
    """A worker with the options of `worker.build_worker`, so that neither side has an advantage."""
    options = settings.worker
    return Worker(
        client,
        task_queue=TASK_QUEUE,
        workflows=[OneNode, Chain, AnyGraph, Foreach],
        activities=[read_parents],
        workflow_runner=UnsandboxedWorkflowRunner(),
        max_cached_workflows=options.max_cached_workflows,
        max_concurrent_workflow_tasks=options.max_concurrent_workflow_tasks,
        max_concurrent_activities=options.max_concurrent_activities,
        max_concurrent_local_activities=options.max_concurrent_activities,
        max_eager_activity_reservations_per_workflow_task=max(1, options.max_eager_activities),
        disable_eager_activity_execution=options.max_eager_activities == 0,
        workflow_task_poller_behavior=PollerBehaviorSimpleMaximum(10),
        activity_task_poller_behavior=PollerBehaviorSimpleMaximum(10),
    )


async def serve(settings: Settings, wfformat_path: Path | None) -> None:
    """Work until SIGTERM."""
    names = [*BUILT_IN, *LARGE, *(["wfformat"] if wfformat_path else [])]
    _GRAPHS.update({name: graph_named(name, wfformat_path) for name in names})
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    assert settings.temporal.address is not None
    client = await Client.connect(settings.temporal.address, namespace=settings.temporal.namespace)
    async with build_worker(settings, client):
        await stop.wait()


if __name__ == "__main__":
    asyncio.run(serve(load_settings(), Path(sys.argv[1]) if len(sys.argv) > 1 else None))
