"""`compare`: every graph on every variant, interleaved, on one set of servers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from benchmarks.figures import Figure, figures_of
from benchmarks.graphs import LARGE, Graph, graph_named
from benchmarks.measuring import measure_latency, measure_throughput
from benchmarks.stand import WORKER, Stand, open_stand
from benchmarks.subjects import VARIANTS, Subject, subject_of

IN_FLIGHT = 50
_THROUGHPUT_VARIANTS = ("handwritten", "isolated", "local")


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is measured. Budgets bound each graph; a round that has begun is finished."""

    rounds: dict[str, int]
    latency_budget_s: float
    blocks: int
    counts: dict[str, int]
    block_s: float
    throughput_budget_s: float


FULL = Effort(
    rounds={"one": 40, "chain": 25, "fan": 15, "layered": 7, "wfformat": 15, "large": 3, "foreach": 3},
    latency_budget_s=40,
    blocks=5,
    counts={"one": 400, "chain": 100},
    block_s=4,
    throughput_budget_s=45,
)
QUICK = Effort(
    rounds={"one": 10, "chain": 7, "fan": 5, "layered": 3, "wfformat": 5, "large": 1, "foreach": 1},
    latency_budget_s=8,
    blocks=2,
    counts={"one": 150, "chain": 50},
    block_s=2,
    throughput_budget_s=8,
)


async def compare(
    console: Console, names: Sequence[str], effort: Effort, *, wfformat: Path | None = None, rounds: int | None = None
) -> list[Figure]:
    """Measure the graphs `names`. Raises: ValueError for a graph that is not there; WrongResult."""
    graphs = [graph_named(name, wfformat) for name in names]
    figures: list[Figure] = []
    async with open_stand(WORKER, wfformat=wfformat) as stand:
        for graph in graphs:
            console.print(f"{graph.name}: {len(graph.parents)} nodes ...")
            subjects = [await subject_of(stand, graph, variant) for variant in variants_of(graph)]
            figures += await _latency(stand, graph, subjects, effort, rounds or effort.rounds[graph.name])
            if graph.name in effort.counts:
                figures += await _throughput(stand, graph, subjects, effort)
            _print_short(console, [figure for figure in figures if figure.graph == graph.name])
    return figures


def _print_short(console: Console, figures: Sequence[Figure]) -> None:
    for figure in figures:
        console.print(f"  {figure.measure} {figure.variant}: {figure.median:.1f}, {figure.ratio:.3f} x hand-written")


async def _latency(
    stand: Stand, graph: Graph, subjects: Sequence[Subject], effort: Effort, rounds: int
) -> list[Figure]:
    series = await measure_latency(
        subjects,
        stand.total_cpu_s,
        rounds=rounds,
        budget_s=effort.latency_budget_s,
        warm_up=0 if graph.name in LARGE else 2,
    )
    return figures_of("latency", graph.name, series, stand.worker_mb())


async def _throughput(stand: Stand, graph: Graph, subjects: Sequence[Subject], effort: Effort) -> list[Figure]:
    series = await measure_throughput(
        [subject for subject in subjects if subject.variant in _THROUGHPUT_VARIANTS],
        stand.total_cpu_s,
        blocks=effort.blocks,
        count=effort.counts[graph.name],
        in_flight=IN_FLIGHT,
        block_s=effort.block_s,
        budget_s=effort.throughput_budget_s,
    )
    return figures_of("throughput", graph.name, series, stand.worker_mb())


def variants_of(graph: Graph) -> list[str]:
    """A loop has no variant with an expression over parents."""
    return [variant for variant in VARIANTS if graph.name != "foreach" or variant in _THROUGHPUT_VARIANTS]
