"""A provider that resets, drips and stalls under one tenant: the other tenant's executions hardly notice.

Both tenants run twice at the same pace: once while the provider is well, once while it is not.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncGenerator
from typing import Any

from models.repositories.executions import Executions
from models.repositories.node_executions import NodeExecutions
from tests.faults.examination import ends, examine_kept
from tests.faults.graph import document, expected
from tests.faults.installation import CREDENTIAL, Installation, running_installation
from tests.faults.load import Load
from tests.faults.results import Result, percentile
from tests.faults.row import Order, Row, Size

PACE_S = 0.1  # between two starts of the tenant whose provider is ill
NEIGHBOUR_EVERY = 4  # the neighbour starts one for so many: a pace at which two cores are not full
TIMES = 2.0
ILLS = ("reset", "drip", "stall")
_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
CODES = {"TIMEOUT", "NETWORK_ERROR", "EXTERNAL_ERROR"}


class Provider:
    """An HTTP/1.1 server whose manners are in the path, while it is ill."""

    def __init__(self) -> None:
        self.ill = False
        self.port = 0
        self.calls: Counter[str] = Counter()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            way = head.split(b" ", 2)[1].decode().strip("/")
            self.calls[way if self.ill else "well"] += 1
            await (self._be_ill(way, writer) if self.ill else _answer(writer))
        writer.transport.abort()

    async def _be_ill(self, way: str, writer: asyncio.StreamWriter) -> None:
        if way == "stall":
            await asyncio.sleep(60)
        if way == "drip":
            writer.write(_HEAD + b"content-length: 1000\r\n\r\n")
            for _ in range(600):
                writer.write(b" ")
                await writer.drain()
                await asyncio.sleep(0.1)


async def _answer(writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(0.05)
    writer.write(_HEAD + b"content-length: 2\r\nconnection: close\r\n\r\n{}")
    await writer.drain()
    writer.write_eof()
    await asyncio.sleep(0.05)


@contextlib.asynccontextmanager
async def running_provider() -> AsyncGenerator[Provider]:
    provider = Provider()
    connections: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        connections.add(task)
        try:
            with contextlib.suppress(asyncio.CancelledError):
                await provider.serve(reader, writer)
        finally:
            connections.discard(task)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    provider.port = server.sockets[0].getsockname()[1]
    try:
        yield provider
    finally:
        server.close()
        for task in connections:
            task.cancel()


def calling(port: int) -> dict[str, Any]:
    """One call to the provider, in a manner that the input names; twice if it fails."""
    url = f"http://127.0.0.1:{port}/{{{{ input.way }}}}"
    node = {
        "id": "call", "type": "http", "params": {"url": url}, "timeout": "2s",
        "credential": CREDENTIAL, "retry": {"strategy": "fixed", "interval": "500ms", "max_attempts": 2},
        "on_error": "retry", "then": "continue",
    }  # fmt: skip
    nodes = [{"id": "start", "type": "manual"}, node]
    return {"name": "calls", "nodes": nodes, "edges": [{"source": "start", "target": "call"}]}


async def run(order: Order) -> Result:
    result = order.result()
    async with running_installation(order.data_dir) as installation, running_provider() as provider:
        began = time.monotonic()
        await installation.effects.set_latency(10, 30)
        caller, neighbour = await installation.open_tenancy(), await installation.open_tenancy()
        called = await caller.publish(calling(provider.port))
        beside = await neighbour.publish(document(installation.effects.url, credential=CREDENTIAL))
        warm = Load(neighbour, beside)
        warm.start(5)
        await ends(installation, warm, result)
        loads = [warm]
        times: dict[bool, list[float]] = {}
        for ill in (False, True):
            provider.ill = ill
            pair = Load(caller, called, lambda n: {"way": ILLS[n % len(ILLS)]}), Load(neighbour, beside)
            times[ill] = await _side_by_side(installation, *pair, order.size.executions, result)
            await _as_they_should(installation, *pair, result, ill=ill)
            loads += pair
        _compare(times, result)
        for tenancy in (caller, neighbour):
            await examine_kept(installation, [_together(tenancy, loads)], result)
        result.executions, result.faults = sum(len(load.answered) for load in loads), sum(provider.calls.values())
        result.figures["calls to the provider"] = " ".join(f"{name}:{count}" for name, count in provider.calls.items())
        result.took_s = time.monotonic() - began
    return result


def _together(tenancy: Any, loads: list[Load]) -> Load:
    whole = Load(tenancy, loads[0].workflow)
    for load in loads:
        if load.tenancy is tenancy:
            whole.answered |= load.answered
            whole.problems += load.problems
    return whole


async def _side_by_side(installation: Installation, ill: Load, beside: Load, count: int, result: Result) -> list[float]:
    """Seconds from request to end of each of the neighbour's executions."""
    for number in range(count):
        ill.start(1)
        if number % NEIGHBOUR_EVERY == 0:
            beside.start(1)
        await asyncio.sleep(PACE_S)
    await ends(installation, beside, result)
    await ends(installation, ill, result)
    rows = [await Executions(installation.database).get(beside.tenancy.tenant, one) for one in beside.answered]
    return [row.finished_at.timestamp() - beside.asked_at[beside.answered[row.id]] for row in rows if row.finished_at]


async def _as_they_should(installation: Installation, called: Load, beside: Load, result: Result, *, ill: bool) -> None:
    executions, nodes = Executions(installation.database), NodeExecutions(installation.database)
    for one, n in beside.answered.items():
        row = await executions.get(beside.tenancy.tenant, one)
        if row.status != "success" or len(await nodes.list(beside.tenancy.tenant, one)) != len(expected(n)[1]):
            result.violations.append(f"the neighbour's {one} is {row.status}: {row.error}")
    for one in called.answered:
        row = next(row for row in await nodes.list(called.tenancy.tenant, one) if row.node_path == "call")
        code = (row.error or {}).get("code")
        if row.status != ("failed" if ill else "success") or row.attempts != (2 if ill else 1):
            result.violations.append(f"the call of {one} is {row.status} after {row.attempts} attempts: {row.error}")
        elif ill and code not in CODES:
            result.violations.append(f"the call of {one} failed with {code}")


def _compare(times: dict[bool, list[float]], result: Result) -> None:
    well, ill = percentile(times[False], 0.99), percentile(times[True], 0.99)
    ratio = ill / well if well else 0.0
    result.figures |= {
        "neighbour's p99 while the provider is well (s)": round(well, 3),
        "neighbour's p99 while it is ill (s)": round(ill, 3),
        "ratio": round(ratio, 2),
    }
    if ratio > TIMES:
        result.violations.append(f"the neighbour's p99 became {ratio:.2f} times what it was; limit {TIMES:g}")


ROW = Row("provider", "provider resets, drips, stalls", Size(200, 1), Size(5000, 1), 5, run)
