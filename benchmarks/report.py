"""The table that a person reads, and the same figures as JSON."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.figures import Figure, Measure

_TITLES: dict[Measure, tuple[str, str]] = {
    "latency": ("Latency, start to result, one execution at a time", "median ms"),
    "throughput": ("Throughput", "executions/s"),
}


def print_figures(console: Console, figures: Sequence[Figure]) -> None:
    for measure in _TITLES:
        rows = [figure for figure in figures if figure.measure == measure]
        if rows:
            console.print(_table(measure, rows))
    bars = [figure for figure in figures if figure.is_met is not None]
    console.print(f"{sum(bool(figure.is_met) for figure in bars)} of {len(bars)} bars met")


def _table(measure: Measure, rows: Sequence[Figure]) -> Table:
    title, unit = _TITLES[measure]
    table = Table(title=title)
    for column in ("graph", "variant"):
        table.add_column(column)
    for column in (unit, "lowest", "highest", "samples", "events", "cpu ms", "worker MB", "x hand-written", "bar"):
        table.add_column(column, justify="right")
    table.add_column("")
    for number, row in enumerate(rows):
        last = number + 1 == len(rows) or rows[number + 1].graph != row.graph
        table.add_row(*_cells(row), end_section=last)
    return table


def _cells(row: Figure) -> list[str]:
    sign = "at most" if row.measure == "latency" else "at least"
    verdict = {None: "", True: "[green]met[/]", False: "[red]unmet[/]"}[row.is_met]
    bar = "" if row.bar is None else f"{sign} {row.bar:g}"
    events = str(row.events) if row.events else ""
    numbers = [f"{number:.1f}" for number in (row.median, row.low, row.high)]
    return [
        row.graph,
        row.variant,
        *numbers,
        str(row.samples),
        events,
        f"{row.cpu_ms:.1f}",
        f"{row.worker_mb:.0f}" if row.worker_mb else "",
        f"{row.ratio:.3f}",
        bar,
        verdict,
    ]


def write_json(path: Path, figures: Sequence[Figure]) -> None:
    """One object: the machine in short, and all figures."""
    machine = {"python": platform.python_version(), "system": platform.system(), "processors": os.cpu_count()}
    document = {"machine": machine, "figures": [figure.to_json() for figure in figures]}
    path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
