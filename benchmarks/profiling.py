"""`profile`: where the StructForge worker spends its time on one graph and variant."""

from __future__ import annotations

import io
import pstats
import tempfile
import time
from pathlib import Path

from rich.console import Console

from benchmarks.graphs import Graph
from benchmarks.measuring import run_block
from benchmarks.stand import WORKER, open_stand
from benchmarks.subjects import subject_of


async def profile(
    console: Console, graph: Graph, variant: str, *, count: int, in_flight: int, top: int, wfformat: Path | None
) -> None:
    """Run `count` executions, then print processor time by process and the worker's top functions by own time.

    The first figures are without the profiler, which slows Python down by about two: of the second only shares count.
    """
    await _print_processor_time(console, graph, variant, count, in_flight, wfformat)
    with tempfile.TemporaryDirectory(prefix="structforge-profile-") as folder:
        path = Path(folder) / "worker.prof"
        worker = ["-m", "benchmarks.profiled_worker", str(path)]
        async with open_stand(worker, wfformat=wfformat, handwritten=False) as stand:
            await run_block(await subject_of(stand, graph, variant), count, in_flight)
        _print_top(console, path, top)


async def _print_processor_time(
    console: Console, graph: Graph, variant: str, count: int, in_flight: int, wfformat: Path | None
) -> None:
    async with open_stand(WORKER, wfformat=wfformat, handwritten=False) as stand:
        subject = await subject_of(stand, graph, variant)
        await run_block(subject, in_flight, in_flight)
        before, began = stand.cpu_seconds(), time.perf_counter()
        await run_block(subject, count, in_flight)
        elapsed_s, after = time.perf_counter() - began, stand.cpu_seconds()
    used = {name: (seconds - before.get(name, 0.0)) / count * 1000 for name, seconds in after.items()}
    shown = "  ".join(f"{name} {ms:.1f}" for name, ms in sorted(used.items(), key=lambda item: -item[1]))
    console.print(f"{graph.name} {variant}: {count / elapsed_s:.1f} executions/s, {in_flight} at once")
    console.print(f"processor ms an execution: {shown}")


def _print_top(console: Console, path: Path, top: int) -> None:
    for order in ("tottime", "cumulative"):
        text = io.StringIO()
        pstats.Stats(str(path), stream=text).sort_stats(order).print_stats(top)
        console.print(text.getvalue(), markup=False, highlight=False, soft_wrap=True)
