"""Counters of the hot path: plain sums in memory, read when somebody scrapes.

A counter of prometheus-client takes a lock and a dictionary for each step; a node takes little more than that. The
tallies here are written by the event loop alone, so a step is an addition, and a scrape may see one step less.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector, CollectorRegistry

Labels = tuple[str, ...]


class CountTally(Collector):
    """A counter with labels; `name` ends in `_total`."""

    def __init__(self, name: str, text: str, labels: Sequence[str], registry: CollectorRegistry) -> None:
        self.name, self._text, self._labels = name, text, tuple(labels)
        self.counts: dict[Labels, float] = {}
        registry.register(self)

    def add(self, labels: Labels, count: float = 1) -> None:
        self.counts[labels] = self.counts.get(labels, 0) + count

    def describe(self) -> Iterable[CounterMetricFamily]:
        return [CounterMetricFamily(self.name, self._text, labels=self._labels)]

    def collect(self) -> Iterable[CounterMetricFamily]:
        family = CounterMetricFamily(self.name, self._text, labels=self._labels)
        for labels, count in list(self.counts.items()):
            family.add_metric(labels, count)
        yield family


class DurationTally(Collector):
    """A histogram of seconds with labels; `bounds` are the upper ends of its buckets, rising."""

    def __init__(
        self, name: str, text: str, labels: Sequence[str], bounds: Sequence[float], registry: CollectorRegistry
    ) -> None:
        self.name, self._text, self._labels, self._bounds = name, text, tuple(labels), list(bounds)
        self._series: dict[Labels, tuple[list[int], list[float]]] = {}
        registry.register(self)

    def observe(self, labels: Labels, seconds: float) -> None:
        series = self._series.get(labels)
        if series is None:
            series = self._series[labels] = ([0] * (len(self._bounds) + 1), [0.0])
        series[0][bisect_left(self._bounds, seconds)] += 1
        series[1][0] += seconds

    def count(self, labels: Labels) -> int:
        series = self._series.get(labels)
        return 0 if series is None else sum(series[0])

    def describe(self) -> Iterable[HistogramMetricFamily]:
        return [HistogramMetricFamily(self.name, self._text, labels=self._labels)]

    def collect(self) -> Iterable[HistogramMetricFamily]:
        family = HistogramMetricFamily(self.name, self._text, labels=self._labels)
        for labels, (buckets, total) in list(self._series.items()):
            running, rows = 0, list[tuple[str, float]]()
            for bound, count in zip([*map(_written, self._bounds), "+Inf"], buckets, strict=True):
                running += count
                rows.append((bound, running))
            family.add_metric(labels, rows, total[0])
        yield family


class Readings:
    """Numbers that are read when somebody scrapes, each from the part of the process that last gave it a source."""

    def __init__(self) -> None:
        self._sources: dict[str, Callable[[], float]] = {}

    def read(self, name: str, source: Callable[[], float]) -> None:
        self._sources[name] = source

    def now(self, name: str) -> float:
        source = self._sources.get(name)
        return 0.0 if source is None else source()


def _written(bound: float) -> str:
    return repr(float(bound))
