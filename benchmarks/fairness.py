"""`python -m benchmarks.fairness`: what one tenant waits while another has ten thousand nodes in the queue.

Nodes call a server that answers after a set time, so a worker has all its slots taken while the processors are not.
Tenant B starts an execution of one node now and then, first alone, then while nodes of tenant A fill the task queue.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median, quantiles
from typing import Any
from uuid import uuid4

from rich.console import Console
from rich.table import Table

from benchmarks.stand import WORKER, Stand, open_stand
from engine.activities.launching import priority_of
from engine.activities.starting import input_of
from engine.contracts import EXECUTION_WORKFLOW, temporal_id
from models.ids import new_id
from models.repositories.executions import Executions, NewExecution
from models.repositories.tenants import Tenants
from models.repositories.workflows import Saved, Workflows
from models.tenancy import TenantId, mint_tenant

BAR = 2.0  # times the 95th percentile without load
NODES_AN_EXECUTION = 50
QUEUED_S = 300.0


@dataclass(slots=True)
class SlowServer:
    """Answers every call after `answer_s`; notes when each address is called first, and counts by tenant."""

    answer_s: float
    port: int = 0
    called: dict[str, float] = field(default_factory=dict[str, float])
    counts: Counter[str] = field(default_factory=Counter[str])

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while line := await reader.readline():
                path = line.split()[1].decode()
                self.called.setdefault(path, time.perf_counter())
                self.counts[path.split("/")[1]] += 1
                while (await reader.readline()).strip():
                    pass
                await asyncio.sleep(self.answer_s)
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Type: application/json\r\n\r\n{}")
                await writer.drain()
        writer.close()


@dataclass(slots=True)
class Waits:
    """Seconds from the start of each execution to the call of its node, and to its end."""

    name: str
    first_call: list[float] = field(default_factory=list[float])
    whole: list[float] = field(default_factory=list[float])


@dataclass(slots=True)
class Tenancy:
    """One tenant with one workflow; `width` nodes that call the server side by side."""

    stand: Stand
    server: SlowServer
    tenant: TenantId
    saved: Saved
    width: int

    @classmethod
    async def open(cls, stand: Stand, server: SlowServer, name: str, width: int) -> Tenancy:
        tenant = mint_tenant(new_id())
        await Tenants(stand.database).ensure(tenant, name)
        url = f"http://127.0.0.1:{server.port}/{name}/{{{{ input.mark }}}}"
        nodes = [{"id": f"n{number}", "type": "http", "params": {"url": url}} for number in range(width)]
        document = {"name": name, "nodes": nodes, "edges": [], "settings": {"max_parallel_nodes": 500}}
        return cls(stand, server, tenant, await Workflows(stand.database).create(tenant, document), width)

    async def start(self, mark: str) -> Any:
        """Start as the API does; the handle of the Temporal workflow."""
        stand, saved = self.stand, self.saved
        new = NewExecution(
            workflow_id=saved.workflow.id,
            version_id=saved.version.id,
            workflow_name=saved.workflow.name,
            input={"v": {"mark": mark}, "n": 50},
            node_total=self.width,
        )
        created = await Executions(stand.database).create_execution(self.tenant, new)
        return await stand.temporal.start_workflow(
            EXECUTION_WORKFLOW,
            await input_of(stand.database, stand.versions, self.tenant, created.execution),
            id=temporal_id(str(self.tenant), str(new.id)),
            task_queue=stand.settings.worker.task_queue,
            priority=priority_of(str(self.tenant), 3, stand.settings.fairness.weight_of(str(self.tenant))),
        )

    async def wait_once(self, waits: Waits) -> None:
        mark = uuid4().hex
        began = time.perf_counter()
        handle = await self.start(mark)
        await handle.result()
        waits.whole.append(time.perf_counter() - began)
        path = next(path for path in self.server.called if path.endswith(mark))
        waits.first_call.append(self.server.called[path] - began)


async def measure(nodes: int, samples: int, answer_s: float, slots: int) -> dict[str, Any]:
    """The waits of B alone and beside A's flood, and what became of A's nodes meanwhile."""
    server = SlowServer(answer_s)
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    server.port = listening.sockets[0].getsockname()[1]
    settings = {"http": {"allowed_hosts": ["127.0.0.1"]}, "worker": {"max_concurrent_activities": slots}}
    async with open_stand(WORKER, handwritten=False, overrides=settings) as stand:
        flood = await Tenancy.open(stand, server, "a", NODES_AN_EXECUTION)
        guest = await Tenancy.open(stand, server, "b", 1)
        alone, beside = Waits("alone"), Waits("beside the flood")
        await guest.wait_once(Waits("warm-up"))
        await _sample(guest, alone, samples)
        for _ in range(nodes // NODES_AN_EXECUTION):
            await flood.start("x")
        await _queued(stand, flood, nodes)
        before = server.counts["a"]
        began, cpu_before = time.perf_counter(), stand.total_cpu_s()
        await _sample(guest, beside, samples)
        elapsed_s, cpu_s = time.perf_counter() - began, stand.total_cpu_s() - cpu_before
        done = server.counts["a"]
    listening.close()
    return {
        "waits": [_figures(alone), _figures(beside)],
        "nodes_queued": nodes,
        "flood_done": done,
        "flood_rate": (done - before) / elapsed_s,
        "processors_used": cpu_s / elapsed_s,
        "slots": slots,
        "answer_s": answer_s,
    }


async def _sample(guest: Tenancy, waits: Waits, samples: int) -> None:
    for _ in range(samples):
        await guest.wait_once(waits)
        await asyncio.sleep(guest.server.answer_s / 4)  # no lockstep with the slots of the flood


async def _queued(stand: Stand, flood: Tenancy, nodes: int) -> None:
    """Wait until the server of Temporal holds the flood: all of it that no slot has taken yet. Raises: TimeoutError."""
    query = f'WorkflowId STARTS_WITH "{flood.tenant}:" AND ExecutionStatus = "Running"'
    async with asyncio.timeout(QUEUED_S):
        waiting: set[str] = {one.id async for one in stand.temporal.list_workflows(query)}
        while waiting:
            for identifier in sorted(waiting):
                described = await stand.temporal.get_workflow_handle(identifier).describe()
                if described.history_length > NODES_AN_EXECUTION:  # an event for each node that is scheduled
                    waiting.discard(identifier)
            await asyncio.sleep(0.2)


def _figures(waits: Waits) -> dict[str, Any]:
    return {
        "name": waits.name,
        "samples": len(waits.whole),
        "first_call_p50_ms": median(waits.first_call) * 1000,
        "first_call_p95_ms": p95(waits.first_call) * 1000,
        "whole_p50_ms": median(waits.whole) * 1000,
        "whole_p95_ms": p95(waits.whole) * 1000,
    }


def p95(values: Sequence[float]) -> float:
    return quantiles(values, n=20, method="inclusive")[18]


def ratios(result: dict[str, Any]) -> dict[str, float]:
    """How many times longer B waits beside the flood."""
    alone, beside = result["waits"]
    return {name: beside[name] / alone[name] for name in alone if name.endswith("_ms")}


def _print(console: Console, result: dict[str, Any]) -> None:
    table = Table(title=f"Tenant B's executions of one node, {result['slots']} slots, {result['answer_s']:g} s a node")
    table.add_column("tenant B")
    columns = [name for name in result["waits"][0] if name.endswith("_ms")]
    for name in columns:
        table.add_column(name.removesuffix("_ms").replace("_", " ") + ", ms", justify="right")
    for row in result["waits"]:
        table.add_row(row["name"], *(f"{row[name]:.0f}" for name in columns))
    table.add_row("ratio", *(f"{ratios(result)[name]:.2f}" for name in columns))
    console.print(table)
    console.print(
        f"tenant A: {result['flood_done']} of {result['nodes_queued']} nodes done at the end,"
        f" {result['flood_rate']:.1f} a second meanwhile; {result['processors_used']:.2f} processors used"
    )
    met = ratios(result)["whole_p95_ms"] <= BAR
    console.print(f"p95 from start to end at most {BAR:g} x: {'[green]met[/]' if met else '[red]unmet[/]'}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0 if the bar is met and the flood was still queued at the end, else 1."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fairness", description=__doc__)
    parser.add_argument("--nodes", type=int, default=10_000, help="what tenant A queues")
    parser.add_argument("--samples", type=int, default=60, help="executions of tenant B in each half")
    parser.add_argument("--answer-s", type=float, default=0.5, help="what a node takes")
    parser.add_argument("--slots", type=int, default=20, help="nodes that the worker runs at once")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    options = parser.parse_args(arguments)
    result = asyncio.run(measure(options.nodes, options.samples, options.answer_s, options.slots))
    _print(Console(width=None if sys.stdout.isatty() else 120), result)
    if options.json is not None:
        options.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    return 0 if ratios(result)["whole_p95_ms"] <= BAR and result["flood_done"] < result["nodes_queued"] else 1


if __name__ == "__main__":
    sys.exit(main())
