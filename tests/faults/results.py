"""Results of fault runs: lines of a JSON lines file, and the tables made of them."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median

_HEAD = (
    "| row | size | seeds | parts | executions | faults | violations | recovery: median, p95, longest (s) | took (s) |",
    "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
)


@dataclass(slots=True)
class Result:
    """One part of a row. Times in seconds; `skipped` says why nothing ran, else it is empty."""

    row: str
    seed: int
    executions: int = 0
    faults: int = 0
    violations: list[str] = field(default_factory=list[str])
    recoveries_s: list[float] = field(default_factory=list[float])
    figures: dict[str, float | int | str] = field(default_factory=dict[str, "float | int | str"])
    took_s: float = 0.0
    size: str = "ci"
    part: int = 1
    parts: int = 1
    skipped: str = ""

    @property
    def place(self) -> tuple[str, str, int, int]:
        """What must not run twice: row, size, seed and part."""
        return (self.row, self.size, self.seed, self.part)


def read_results(path: Path) -> list[Result]:
    """What has been finished; a last line that a kill has cut is as if it were not there."""
    found: list[Result] = []
    for line in path.read_text("utf-8").splitlines() if path.exists() else ():
        try:
            found.append(Result(**json.loads(line)))
        except ValueError:
            continue
    return found


def add_result(path: Path, result: Result) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cut = path.exists() and not path.read_bytes().endswith(b"\n") and path.stat().st_size > 0
    with path.open("a", encoding="utf-8") as file:
        file.write(("\n" if cut else "") + json.dumps(asdict(result)) + "\n")


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that `share` of all do not exceed; 0 of none."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)] if values else 0.0


def table(results: Sequence[Result]) -> str:
    """One line a row and size in Markdown; the parts and seeds of a row are taken together."""
    groups: dict[tuple[str, str], list[Result]] = defaultdict(list)
    for result in results:
        groups[(result.row, result.size)].append(result)
    return "\n".join([*_HEAD, *(_line(row, size, group) for (row, size), group in groups.items())])


def _line(row: str, size: str, group: Sequence[Result]) -> str:
    seeds = ", ".join(str(seed) for seed in sorted({one.seed for one in group}))
    ran = [one for one in group if not one.skipped]
    if not ran:
        return f"| {row} | {size} | {seeds} | | | | not run: {group[0].skipped} | | |"
    recoveries = [seconds for one in ran for seconds in one.recoveries_s]
    times = (
        f"{median(recoveries):.1f}, {percentile(recoveries, 0.95):.1f}, {max(recoveries):.1f}" if recoveries else "-"
    )
    whole = sum(one.parts for one in {one.seed: one for one in ran}.values())
    cells = [
        row, size, seeds, f"{len(ran)} of {whole}", sum(one.executions for one in ran), sum(one.faults for one in ran),
        sum(len(one.violations) for one in ran), times, f"{sum(one.took_s for one in ran):.0f}",
    ]  # fmt: skip
    return f"| {' | '.join(map(str, cells))} |"


def text(result: Result) -> str:
    """A result as a person reads it, with every violation."""
    title = f"{result.row}, {result.size}, seed {result.seed}, part {result.part} of {result.parts}"
    if result.skipped:
        return f"{title}\n  not run: {result.skipped}"
    figures = {"executions": result.executions, "faults": result.faults, **result.figures}
    if result.recoveries_s:
        figures["recovery: median (s)"] = round(median(result.recoveries_s), 2)
        figures["recovery: p95 (s)"] = round(percentile(result.recoveries_s, 0.95), 2)
        figures["recovery: longest (s)"] = round(max(result.recoveries_s), 2)
    figures["took (s)"] = round(result.took_s, 1)
    lines = [f"  {name:<52}{value:>10}" for name, value in figures.items()]
    wrong = [f"  VIOLATION: {violation[:2000]}" for violation in result.violations[:20]]
    more = [f"  and {len(result.violations) - 20} more violations"] if len(result.violations) > 20 else []
    return "\n".join([title, *lines, *(wrong or ["  every invariant holds"]), *more])
