"""`python -m benchmarks.scripts`: how many scripts a second each runtime runs, several beside each other."""

from __future__ import annotations

import asyncio
import statistics
import time

from rich.console import Console
from rich.table import Table

from engine.activities.clients.isolated_python import IsolatedPython
from engine.errors import NodeError
from engine.expressions.script_pool import ScriptPool
from engine.nodes.scripting.ports import ScriptRequest, ScriptRuntime
from engine.nodes.scripting.runtimes import MontyScripts

CODE = """
totals = {}
for order in input:
    totals[order['city']] = totals.get(order['city'], 0) + order['total']
print(len(totals), 'cities')
totals
"""
ORDERS = [{"city": f"city {number % 7}", "total": number} for number in range(50)]
WARM_UP = 20
IN_FLIGHT = 16


async def _rate(runtime: ScriptRuntime, count: int) -> tuple[float, float]:
    """Scripts a second, and the median milliseconds from asking to the result, waiting for a place included."""
    places = asyncio.Semaphore(IN_FLIGHT)
    waits_ms: list[float] = []

    async def one(number: int) -> None:
        request = ScriptRequest(
            code=CODE, input=ORDERS, timeout_s=5, memory_bytes=64_000_000, owner=str(number % IN_FLIGHT)
        )
        async with places:
            started = time.perf_counter()
            await runtime.run(request)
            waits_ms.append((time.perf_counter() - started) * 1000)

    await asyncio.gather(*[one(number) for number in range(WARM_UP)])
    waits_ms.clear()
    started = time.perf_counter()
    await asyncio.gather(*[one(number) for number in range(count)])
    return count / (time.perf_counter() - started), statistics.median(waits_ms)


async def main() -> None:
    table = Table("runtime", "scripts/s", "median ms")
    async with ScriptPool() as pool:
        rate, median_ms = await _rate(MontyScripts(pool), 5000)
        table.add_row("monty", f"{rate:.0f}", f"{median_ms:.1f}")
    try:
        rate, median_ms = await _rate(IsolatedPython(), 200)
        table.add_row("cpython", f"{rate:.0f}", f"{median_ms:.1f}")
    except NodeError as error:
        table.add_row("cpython", "-", error.message)
    Console().print(table)


if __name__ == "__main__":
    asyncio.run(main())
