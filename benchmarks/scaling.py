"""`python -m benchmarks.scaling`: worker processes, starts through the API at a steady rate, I/O nodes, and memory.

`workers`: executions a second and processor time an execution with 1, 2 and 4 worker processes. `starts`: calls of
`POST /workflows/{id}/execute` at a set rate, each an execution of five local nodes; the time of a call counts from when
it was due. `io`: executions a second of a node that calls a server, beside a Temporal workflow written by hand.
`memory`: what an execution that waits holds in the worker, and what one that has ended leaves on disk.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median, quantiles
from typing import Any
from uuid import uuid4

import httpx2
import psutil
from rich.console import Console
from rich.table import Table

from benchmarks.documents import document_of
from benchmarks.fairness import SlowServer, Tenancy
from benchmarks.graphs import chain, graph_named
from benchmarks.measuring import run_block
from benchmarks.stand import STOP_DEADLINE_S, WORKER, Stand, open_stand, start_process
from benchmarks.subjects import subject_of
from benchmarks.trigger_handwritten import TASK_QUEUE
from benchmarks.trigger_latency import answers, free_port
from models.repositories.tenants import FIRST_TENANT
from models.repositories.workflows import Workflows
from models.tenancy import mint_tenant

KEY = "sf_the-key-of-the-benchmarks"
START_BAR_MS = 100.0  # of the 99th percentile of a start
PROCESSES = (1, 2, 4)
VARIANTS = ("handwritten", "isolated", "local")
IN_FLIGHT = 50
WAITING = 500  # executions that are held in memory at once
ENDED = 300  # executions whose traces are weighed
Row = dict[str, Any]


async def measure_workers(block_s: float) -> list[Row]:
    """Executions of one node, `IN_FLIGHT` at once; the sides take turns, then more processes join."""
    rows: list[Row] = []
    graph = graph_named("one")
    async with open_stand(WORKER) as stand, contextlib.AsyncExitStack() as stack:
        subjects = [await subject_of(stand, graph, variant) for variant in VARIANTS]
        for processes in PROCESSES:
            while sum(name.startswith("structforge") for name in stand.workers) < processes:
                await _one_more_worker(stand, stack)
            await asyncio.sleep(3)  # until they poll
            for subject in subjects:
                await run_block(subject, IN_FLIGHT, IN_FLIGHT)
                before, began = stand.cpu_seconds(), time.perf_counter()
                done = len(await run_block(subject, 100_000, IN_FLIGHT, block_s))
                elapsed_s = time.perf_counter() - began
                used = _used(before, stand.cpu_seconds())
                rows.append(
                    {
                        "processes": processes,
                        "variant": subject.variant,
                        "executions/s": done / elapsed_s,
                        "cpu ms": sum(used.values()) * 1000 / done,
                        "cpu ms of workers": sum(used.get(name, 0) for name in stand.workers) * 1000 / done,
                        "cpu ms of temporal": used.get("temporal", 0) * 1000 / done,
                        "worker MB": _rss_mb(stand.workers["structforge"]),
                    }
                )
    return rows


async def _one_more_worker(stand: Stand, stack: contextlib.AsyncExitStack) -> None:
    number = len(stand.workers)
    for name, argv in {"structforge": [*WORKER], "handwritten": ["-m", "benchmarks.handwritten"]}.items():
        child = await start_process(f"{name}-{number}", argv, stand.settings)
        stack.push_async_callback(child.stop, STOP_DEADLINE_S)
        stand.workers[f"{name}-{number}"] = child.pid


async def measure_starts(rate: float, seconds: float) -> list[Row]:
    """Starts at a steady rate, whatever the answers take; nothing waits for the one before."""
    overrides = {"api": {"port": free_port(), "key": KEY}}
    async with (
        open_stand(WORKER, handwritten=False, overrides=overrides) as stand,
        contextlib.AsyncExitStack() as stack,
    ):
        api = await start_process("api", ["-m", "structforge", "api"], stand.settings)
        stack.push_async_callback(api.stop, STOP_DEADLINE_S)
        stand.workers["api"] = api.pid
        await answers(f"{stand.settings.api.url}/readyz")
        saved = await Workflows(stand.database).create(
            mint_tenant(FIRST_TENANT), document_of(chain(5), "plain", isolate=False), publish=True
        )
        url = f"{stand.settings.api.url}/api/v1/workflows/{saved.workflow.id}/execute"
        headers = {"Authorization": f"Bearer {KEY}"}
        client = await stack.enter_async_context(httpx2.AsyncClient(headers=headers, timeout=30))
        await _at_rate(client, url, rate, 3)
        memory, before = _rss_of(stand), stand.cpu_seconds()
        taken = await _at_rate(client, url, rate, seconds)
        used, grown = _used(before, stand.cpu_seconds()), _rss_of(stand)
        open_now = await _still_open(client, stand)
    return [
        {
            "starts": len(taken),
            "rate/s": rate,
            "p50 ms": median(taken) * 1000,
            "p99 ms": quantiles(taken, n=100, method="inclusive")[98] * 1000,
            "longest ms": max(taken) * 1000,
            "cpu ms": sum(used.values()) * 1000 / len(taken),
            "cpu ms of api": used.get("api", 0) * 1000 / len(taken),
            "api MB": f"{memory['api']:.0f} > {grown['api']:.0f}",
            "worker MB": f"{memory['structforge']:.0f} > {grown['structforge']:.0f}",
            "open at the end": open_now,
        }
    ]


async def _at_rate(client: httpx2.AsyncClient, url: str, rate: float, seconds: float) -> list[float]:
    """Seconds from when each call was due to its answer. Raises: RuntimeError if one is refused."""
    taken: list[float] = []

    async def call(due: float) -> None:
        answer = await client.post(url, json={})
        taken.append(time.perf_counter() - due)
        if answer.status_code != 202:
            raise RuntimeError(f"{answer.status_code} {answer.text[:300]}")

    began = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for number in range(int(rate * seconds)):
            due = began + number / rate
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            group.create_task(call(due))
    return taken


async def _still_open(client: httpx2.AsyncClient, stand: Stand) -> int:
    """Executions that have not ended a second after the last start, of 200 at most."""
    await asyncio.sleep(1)
    answer = await client.get(f"{stand.settings.api.url}/api/v1/executions?status=pending,running&limit=200")
    return len(answer.json()["items"])


async def measure_io(block_s: float, answer_s: float) -> list[Row]:
    """Executions of one node that calls a server, `IN_FLIGHT` at once: the most that each side holds."""
    server = SlowServer(answer_s)
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    server.port = listening.sockets[0].getsockname()[1]
    overrides = {"http": {"allowed_hosts": ["127.0.0.1"]}}
    sides: dict[str, list[tuple[float, float]]] = {"handwritten": [], "structforge": []}
    async with (
        open_stand(WORKER, handwritten=False, overrides=overrides) as stand,
        contextlib.AsyncExitStack() as stack,
    ):
        plain = await start_process("plain", ["-m", "benchmarks.trigger_handwritten", "work"], stand.settings)
        stack.push_async_callback(plain.stop, STOP_DEADLINE_S)
        stand.workers["plain"] = plain.pid
        subjects = {"handwritten": PlainCall(stand, server.port), "structforge": Called(stand, server)}
        for number in range(4):
            for name, subject in subjects.items():
                before, began = stand.total_cpu_s(), time.perf_counter()
                done = len(await run_block(subject, 100_000, IN_FLIGHT, block_s if number else 1))
                if number:  # the first warms up
                    elapsed_s, used = time.perf_counter() - began, stand.total_cpu_s() - before
                    sides[name].append((done / elapsed_s, used * 1000 / done))
    listening.close()
    rates = {name: median(rate for rate, _ in blocks) for name, blocks in sides.items()}
    return [
        {
            "side": name,
            "executions/s": rates[name],
            "x hand-written": rates[name] / rates["handwritten"],
            "cpu ms": median(cpu for _, cpu in blocks),
        }
        for name, blocks in sides.items()
    ]


class PlainCall:
    """A Temporal workflow whose one activity calls the server."""

    variant = "handwritten"

    def __init__(self, stand: Stand, port: int) -> None:
        self._stand, self._port = stand, port

    async def run(self) -> str:
        identifier, body = f"call-{uuid4()}", {"url": f"http://127.0.0.1:{self._port}/plain/x"}
        client = self._stand.plain_temporal
        await client.execute_workflow("handwritten-call", body, id=identifier, task_queue=TASK_QUEUE)
        return identifier

    async def check(self, handle: Any) -> None:
        """The call itself fails if the server was not reached."""

    async def events(self, handle: Any) -> int:
        return (await self._stand.plain_temporal.get_workflow_handle(handle).describe()).history_length


class Called:
    """The same as an execution of one http node."""

    variant = "structforge"

    def __init__(self, stand: Stand, server: SlowServer) -> None:
        self._stand, self._server = stand, server
        self._tenancy: asyncio.Task[Tenancy] | None = None

    async def run(self) -> Any:
        if self._tenancy is None:
            self._tenancy = asyncio.create_task(Tenancy.open(self._stand, self._server, "io", 1))
        handle = await (await asyncio.shield(self._tenancy)).start("x")
        await handle.result()
        return handle

    async def check(self, handle: Any) -> None:
        """The execution fails if the server was not reached, and its result raises."""

    async def events(self, handle: Any) -> int:
        return (await handle.describe()).history_length


async def measure_memory() -> list[Row]:
    """Bytes of an execution that waits, in the worker and in Temporal; bytes on disk of those that have ended."""
    rows: list[Row] = []
    async with open_stand(WORKER, handwritten=False) as stand:
        for name in ("one", "chain", "fan"):
            subject = await subject_of(stand, graph_named(name), "local")
            await run_block(subject, 20, 10)
            before = await _disk(stand)
            count = ENDED if name == "one" else ENDED // 3
            await run_block(subject, count, 20)
            after = await _disk(stand)
            nodes = len(graph_named(name).parents)
            rows.append(
                {"what": f"ended, {nodes} local nodes"}
                | {f"{key} bytes": (after[key] - before[key]) / count for key in before}
            )
    async with open_stand(WORKER, handwritten=False) as fresh:  # memory that was freed before would hide what is taken
        rows.append(await _waiting(fresh))
    return rows


async def _waiting(stand: Stand) -> Row:
    tenant = stand.tenant
    nodes = [{"id": "wait", "type": "delay", "params": {"duration": "1h"}}]
    saved = await Workflows(stand.database).create(tenant, {"name": "waiting", "nodes": nodes, "edges": []})
    waiting = Tenancy(stand, SlowServer(0), tenant, saved, 1)
    memory = _rss_of(stand)
    for _ in range(WAITING):
        await waiting.start("x")
    await asyncio.sleep(10)
    grown = _rss_of(stand)
    return {"what": f"{WAITING} that wait, memory"} | {
        f"{name} bytes": (grown[name] - memory[name]) * 1e6 / WAITING for name in ("structforge", "temporal")
    }


async def _disk(stand: Stand) -> dict[str, float]:
    """Bytes of what each server keeps, once what is under way is written."""
    await asyncio.sleep(2)
    async with stand.database.transaction(stand.tenant) as transaction:
        postgres = await transaction.fetchval("SELECT pg_database_size(current_database())")
    temporal = sum(path.stat().st_size for path in (stand.settings.data_dir / "temporal").glob("temporal.db*"))
    return {"postgres": float(postgres), "temporal": float(temporal)}


def _used(before: dict[str, float], after: dict[str, float]) -> dict[str, float]:
    return {name: seconds - before.get(name, 0.0) for name, seconds in after.items()}


def _rss_of(stand: Stand) -> dict[str, float]:
    """Megabytes of resident memory by worker and server."""
    names = {pid: name for name, pid in stand.workers.items()}
    found: dict[str, float] = {}
    for child in psutil.Process().children():
        with contextlib.suppress(psutil.Error):
            found[names.get(child.pid, child.name())] = _rss_mb(child.pid)
    return found


def _rss_mb(pid: int) -> float:
    return psutil.Process(pid).memory_info().rss / 1e6


def _print(console: Console, title: str, rows: Sequence[Row]) -> None:
    table = Table(title=title)
    names = list(dict.fromkeys(name for row in rows for name in row))
    for name in names:
        table.add_column(name, justify="right")
    for row in rows:
        cells = [row.get(name, "") for name in names]
        table.add_row(*(f"{cell:,.1f}" if isinstance(cell, float) else str(cell) for cell in cells))
    console.print(table)


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0, or 1 if starts through the API took longer than the bar."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scaling", description=__doc__)
    parser.add_argument("what", nargs="*", help="of workers, starts, io, memory; all by default")
    parser.add_argument("--seconds", type=float, default=600, help="how long starts go on")
    parser.add_argument("--rate", type=float, default=20, help="starts a second")
    parser.add_argument("--block-s", type=float, default=10, help="how long each throughput is measured")
    parser.add_argument("--answer-s", type=float, default=0.02, help="what the server of `io` takes")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    options = parser.parse_args(arguments)
    parts = {
        "workers": lambda: measure_workers(options.block_s),
        "starts": lambda: measure_starts(options.rate, options.seconds),
        "io": lambda: measure_io(options.block_s, options.answer_s),
        "memory": measure_memory,
    }
    if unknown := set(options.what) - set(parts):
        parser.error(f"no part {', '.join(sorted(unknown))}: choose from {', '.join(parts)}")
    console, result = Console(width=None if sys.stdout.isatty() else 150), dict[str, list[Row]]()
    for name in options.what or parts:
        result[name] = asyncio.run(parts[name]())
        _print(console, name, result[name])
    if options.json is not None:
        options.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    starts = result.get("starts", [])
    return 0 if all(row["p99 ms"] <= START_BAR_MS for row in starts) else 1


if __name__ == "__main__":
    sys.exit(main())
