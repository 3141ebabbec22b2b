"""`python -m benchmarks.trigger_latency`: from a webhook's call until the first node runs.

Both sides make the same way: a call comes in over HTTP, a Temporal workflow starts, and its first piece of work calls
back; the time is that of the call back. One side is StructForge (API and worker), the other a small HTTP handler and a
Temporal workflow written by hand, which records nothing. They take turns on one set of servers.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import sys
import time
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median, quantiles
from typing import Any
from uuid import uuid4

import httpx2
from rich.console import Console
from rich.table import Table

from benchmarks.stand import STOP_DEADLINE_S, WORKER, Stand, open_stand, start_process
from benchmarks.trigger_handwritten import PATH
from engine.settings import Settings
from engine.settings.api import ApiSettings
from models.repositories.workflows import Workflows
from structforge.devstack.ports import PortRequest, choose_ports

HOOK_PATH = "benchmarks/called"
READY_S = 60.0
ANSWER_S = 30.0


@dataclass(slots=True)
class CallBacks:
    """A server that notes when each of its addresses is called."""

    port: int = 0
    _waiting: dict[str, asyncio.Future[float]] = field(default_factory=dict[str, "asyncio.Future[float]"])

    def expect(self) -> tuple[str, asyncio.Future[float]]:
        """A fresh URL, and the time (of `perf_counter`) at which it will have been called."""
        name = uuid4().hex
        future: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        self._waiting[name] = future
        return f"http://127.0.0.1:{self.port}/{name}", future

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while line := await reader.readline():
                called_at = time.perf_counter()
                while (await reader.readline()).strip():
                    pass
                future = self._waiting.pop(line.split()[1].decode().removeprefix("/"), None)
                if future is not None and not future.done():
                    future.set_result(called_at)
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Type: application/json\r\n\r\n{}")
                await writer.drain()
        writer.close()


@dataclass(slots=True)
class Side:
    """Milliseconds to the answer and to the first node, of one way."""

    name: str
    url: str
    answered: list[float] = field(default_factory=list[float])
    running: list[float] = field(default_factory=list[float])

    async def run(self, client: httpx2.AsyncClient, backs: CallBacks, *, counted: bool) -> None:
        """One call. Raises: RuntimeError if it is refused; TimeoutError if nothing calls back."""
        url, called = backs.expect()
        began = time.perf_counter()
        answer = await client.post(self.url, json={"url": url})
        answered = time.perf_counter()
        if answer.status_code != 202:
            raise RuntimeError(f"{self.name}: {answer.status_code} {answer.text[:300]}")
        async with asyncio.timeout(ANSWER_S):
            running = await called
        if counted:
            self.answered.append((answered - began) * 1000)
            self.running.append((running - began) * 1000)


def document() -> dict[str, Any]:
    return {
        "name": "benchmark of triggers",
        "nodes": [
            {"id": "hook", "type": "webhook", "params": {"path": HOOK_PATH}},
            {"id": "first", "type": "http", "params": {"url": "{{ nodes.hook.output.body.url }}"}},
        ],
        "edges": [{"source": "hook", "target": "first"}],
    }


async def measure(rounds: int, warm_up: int) -> list[Side]:
    """Both sides, taking turns."""
    backs = CallBacks()
    server = await asyncio.start_server(backs.serve, "127.0.0.1", 0)
    backs.port = server.sockets[0].getsockname()[1]
    settings = {"http": {"allowed_hosts": ["127.0.0.1"]}, "api": {"port": free_port()}}
    async with open_stand(WORKER, handwritten=False, overrides=settings) as stand, _processes(stand) as plain_url:
        await Workflows(stand.database).create(stand.tenant, document(), publish=True)
        sides = [
            Side("handwritten", plain_url),
            Side("structforge", f"{stand.settings.api.url}/hooks/{stand.tenant}/{HOOK_PATH}"),
        ]
        async with httpx2.AsyncClient(timeout=ANSWER_S) as client:
            for number in range(warm_up + rounds):
                for side in sides:
                    await side.run(client, backs, counted=number >= warm_up)
    server.close()
    return sides


@contextlib.asynccontextmanager
async def _processes(stand: Stand) -> AsyncGenerator[str]:
    """StructForge's API, and the two processes of the other side; the URL of the latter."""
    port = free_port()
    module = ("-m", "benchmarks.trigger_handwritten")
    commands = {
        "api": ["-m", "structforge", "api"],
        "plain-api": [*module, "serve", str(port)],
        "plain-worker": [*module, "work"],
    }
    async with contextlib.AsyncExitStack() as stack:
        for name, argv in commands.items():
            child = await start_process(name, argv, stand.settings)
            stack.push_async_callback(child.stop, STOP_DEADLINE_S)
        await answers(f"{stand.settings.api.url}/readyz")
        await answers(f"http://127.0.0.1:{port}/")
        yield f"http://127.0.0.1:{port}{PATH}"


def free_port() -> int:
    return choose_ports(Settings(api=ApiSettings(port=0)), [PortRequest("api", "port")])["api"]["port"]


async def answers(url: str) -> None:
    """Wait until a server answers anything. Raises: TimeoutError."""
    async with asyncio.timeout(READY_S), httpx2.AsyncClient() as client:
        while True:
            try:
                await client.get(url)
            except httpx2.TransportError:
                await asyncio.sleep(0.1)
            else:
                return


def figures(sides: Sequence[Side]) -> list[dict[str, Any]]:
    """Medians and 99th percentiles in milliseconds, and their ratios to the first side."""
    rows: list[dict[str, Any]] = []
    for measure_name in ("answered", "running"):
        base = getattr(sides[0], measure_name)
        for side in sides:
            taken: list[float] = getattr(side, measure_name)
            rows.append(
                {
                    "measure": measure_name,
                    "side": side.name,
                    "p50_ms": median(taken),
                    "p99_ms": _p99(taken),
                    "ratio_p50": median(taken) / median(base),
                    "ratio_p99": _p99(taken) / _p99(base),
                    "samples": len(taken),
                }
            )
    return rows


def _p99(taken: Sequence[float]) -> float:
    return quantiles(taken, n=100, method="inclusive")[98]


def _print(console: Console, rows: Sequence[dict[str, Any]]) -> None:
    table = Table(title="From a call to its answer, and until the first node runs")
    for column in ("until", "side"):
        table.add_column(column)
    for column in ("p50 ms", "p99 ms", "p50 x hand-written", "p99 x hand-written", "samples"):
        table.add_column(column, justify="right")
    for row in rows:
        numbers = [f"{row[name]:.2f}" for name in ("p50_ms", "p99_ms", "ratio_p50", "ratio_p99")]
        table.add_row(row["measure"], row["side"], *numbers, str(row["samples"]))
    console.print(table)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.trigger_latency", description=__doc__)
    parser.add_argument("--rounds", type=int, default=300)
    parser.add_argument("--warm-up", type=int, default=20)
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    options = parser.parse_args(arguments)
    rows = figures(asyncio.run(measure(options.rounds, options.warm_up)))
    _print(Console(width=None if sys.stdout.isatty() else 110), rows)
    if options.json is not None:
        options.json.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
