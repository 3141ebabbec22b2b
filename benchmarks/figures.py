"""From samples to medians, ratios to the hand-written side, and whether the bars are met. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any, Literal

from benchmarks.measuring import Series

Measure = Literal["latency", "throughput"]
BASE = "handwritten"
_ISOLATED_LATENCY = 1.15
_LATENCY_BARS = {
    ("chain", "local"): 0.2,
    ("fan", "local"): 0.2,
    ("layered", "local"): 0.06,
    ("layered", "computed"): 0.12,
    ("chain", "fused"): 0.45,
    ("layered", "fused"): 0.12,
}
_THROUGHPUT_BARS = {("one", "local"): 1.1, ("one", "isolated"): 0.85}


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table. `ratio` is to the hand-written side of the same run; a bar is a bound on it."""

    measure: Measure
    graph: str
    variant: str
    median: float
    low: float
    high: float
    samples: int
    events: int
    cpu_ms: float  # processor time of all processes for one execution
    ratio: float
    bar: float | None
    worker_mb: float = 0.0  # resident memory of this side's worker afterwards

    @property
    def is_met(self) -> bool | None:
        """None without a bar. Latency may be at most the bar, throughput at least."""
        if self.bar is None:
            return None
        return self.ratio <= self.bar if self.measure == "latency" else self.ratio >= self.bar

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "is_met": self.is_met}


def bar_of(measure: Measure, graph: str, variant: str) -> float | None:
    """The bound of the product on this ratio, if it has one."""
    if measure == "throughput":
        return _THROUGHPUT_BARS.get((graph, variant))
    return _ISOLATED_LATENCY if variant == "isolated" else _LATENCY_BARS.get((graph, variant))


def figures_of(
    measure: Measure, graph: str, series: Sequence[Series], worker_mb: Mapping[str, float] | None = None
) -> list[Figure]:
    """`worker_mb` is the memory of each side's worker. Raises: ValueError if the hand-written side is missing."""
    memory = worker_mb or {}
    base = next((one for one in series if one.variant == BASE), None)
    if base is None:
        raise ValueError(f"{graph}: nothing to compare with")
    base_median = median(base.samples)
    return [
        Figure(
            measure=measure,
            graph=graph,
            variant=one.variant,
            median=median(one.samples),
            low=min(one.samples),
            high=max(one.samples),
            samples=len(one.samples),
            events=one.events,
            cpu_ms=one.cpu_s * 1000 / max(1, one.executions),
            ratio=median(one.samples) / base_median,
            bar=bar_of(measure, graph, one.variant),
            worker_mb=memory.get(BASE if one.variant == BASE else "structforge", 0.0),
        )
        for one in series
    ]
