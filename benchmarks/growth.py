"""`python -m benchmarks.growth`: what grows with the size of a graph, and with what is on record already.

Sizes go up, cost is measured at each, and the exponent of size that fits it best is compared with the bar. `nodes`
counts processor time of all processes for one execution; `stored` the time of pages and of one more execution.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.fitting import exponent
from benchmarks.graphs import Graph, layered
from benchmarks.pages import BAR_MS, measure_stored
from benchmarks.stand import WORKER, open_stand
from benchmarks.subjects import subject_of

BAR = 1.1
NODES = (100, 300, 1000, 3000, 10_000)
STORED = (1000, 10_000, 100_000)
WIDTH = 100
WARM_UP = 2
CPU_EACH_S = 3.0  # enough for a clock of 10 ms


@dataclass(frozen=True, slots=True)
class Point:
    """Medians would hide what counts here, so `cpu_ms` and `wall_ms` are means over `executions`."""

    series: str
    size: int
    executions: int
    cpu_ms: float
    wall_ms: float


async def measure_nodes(
    console: Console, sizes: Sequence[int], variants: Sequence[str], budget_s: float
) -> list[Point]:
    """One execution at a time of layered graphs, until enough was used or the size's budget is spent."""
    points: list[Point] = []
    async with open_stand(WORKER, handwritten=False) as stand:
        for variant in variants:
            for size in sizes:
                graph = Graph(f"layered-{size}", layered(layers=size // WIDTH, width=WIDTH).parents)
                subject = await subject_of(stand, graph, variant)
                for _ in range(WARM_UP if size < sizes[-1] else 1):
                    await subject.check(await subject.run())
                point = Point(variant, size, 0, 0.0, 0.0)
                deadline = time.monotonic() + budget_s
                while not point.executions or (point.cpu_ms < CPU_EACH_S * 1000 and time.monotonic() < deadline):
                    before, began = stand.total_cpu_s(), time.perf_counter()
                    await subject.run()
                    await asyncio.sleep(0.2)  # what goes on after the end belongs to the cost
                    point = Point(
                        variant,
                        size,
                        point.executions + 1,
                        point.cpu_ms + (stand.total_cpu_s() - before) * 1000,
                        point.wall_ms + (time.perf_counter() - began - 0.2) * 1000,
                    )
                count = point.executions
                points.append(Point(variant, size, count, point.cpu_ms / count, point.wall_ms / count))
                console.print(f"  {variant} {size}: {points[-1].cpu_ms:.0f} ms of processor time")
    return points


def _print_nodes(console: Console, points: Sequence[Point]) -> bool:
    table = Table(title="Cost of one execution of a layered graph")
    for column in ("variant", "nodes", "executions", "cpu ms", "cpu ms a node", "wall ms"):
        table.add_column(column, justify="right")
    for point in points:
        cells = (point.size, point.executions, f"{point.cpu_ms:.1f}", f"{point.cpu_ms / point.size:.3f}")
        table.add_row(point.series, *map(str, cells), f"{point.wall_ms:.1f}")
    console.print(table)
    verdicts: list[bool] = []
    for series in dict.fromkeys(point.series for point in points):
        own = [point for point in points if point.series == series]
        if len(own) < 2:
            continue
        fitted = exponent([point.size for point in own], [point.cpu_ms for point in own])
        step = exponent([point.size for point in own[-2:]], [point.cpu_ms for point in own[-2:]])
        verdicts.append(fitted <= BAR)
        console.print(f"{series}: exponent {fitted:.3f} (last step {step:.3f}), at most {BAR}: {verdicts[-1]}")
    return all(verdicts)


def _print_stored(console: Console, rows: Sequence[dict[str, float | str]]) -> bool:
    names = [name for name in rows[0] if name != "stored"]
    table = Table(title="With so many executions on record (ten node executions each): p50 / p95 ms")
    table.add_column("what")
    for row in rows:
        table.add_column(f"{row['stored']:,}", justify="right")
    table.add_column("exponent", justify="right")
    met = True
    for name in names:
        values = [row[name] for row in rows]
        if isinstance(values[0], str):
            table.add_row(name, *map(str, values), "")
            met = met and all(value != "no" for value in values)
            continue
        numbers = [float(value) for value in values]
        fitted = exponent([int(row["stored"]) for row in rows], numbers) if len(rows) > 1 else math.nan
        bar = BAR_MS if name.endswith("p95") else math.inf
        met = met and not fitted > BAR and numbers[-1] <= bar
        table.add_row(name, *(f"{number:.2f}" for number in numbers), f"{fitted:.2f}")
    console.print(table)
    return met


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0 if every bar is met, else 1."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.growth", description=__doc__)
    parser.add_argument("what", nargs="?", choices=("all", "nodes", "stored"), default="all")
    parser.add_argument("--most-nodes", type=int, default=NODES[-1])
    parser.add_argument("--most-stored", type=int, default=STORED[-1], help="executions, with ten node executions each")
    parser.add_argument("--variants", default="local,isolated", help="of isolated, local, computed, fused")
    parser.add_argument("--budget-s", type=float, default=40, help="seconds for each size of graph")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    options = parser.parse_args(arguments)
    console = Console(width=None if sys.stdout.isatty() else 120)
    result: dict[str, object] = {}
    met = True
    if options.what != "stored":
        sizes = [size for size in NODES if size <= options.most_nodes]
        points = asyncio.run(measure_nodes(console, sizes, options.variants.split(","), options.budget_s))
        met = _print_nodes(console, points) and met
        result["nodes"] = [asdict(point) for point in points]
    if options.what != "nodes":
        rows = asyncio.run(measure_stored(console, [size for size in STORED if size <= options.most_stored]))
        met = _print_stored(console, rows) and met
        result["stored"] = rows
    if options.json is not None:
        options.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
