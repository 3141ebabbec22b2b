"""A row of the fault table: what is broken, how often, and in which sizes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from tests.faults.results import Result


@dataclass(frozen=True, slots=True)
class Size:
    """`faults` are what the row counts beside executions: kills, restarts, seconds of trouble."""

    executions: int
    faults: int


@dataclass(frozen=True, slots=True)
class Order:
    """One part of a row to run, in an empty `data_dir`."""

    row: str
    size: Size
    seed: int
    data_dir: Path

    def result(self) -> Result:
        return Result(self.row, self.seed)


@dataclass(frozen=True, slots=True)
class Row:
    """`full` is cut into `parts`, each with a seed of its own, that can run on different days."""

    name: str
    what: str
    ci: Size
    full: Size
    parts: int
    run: Callable[[Order], Awaitable[Result]]

    def part_of(self, part: int) -> Size:
        """The size of the full run's part (1-based); together they come to the full size."""
        return Size(share(self.full.executions, part, self.parts), share(self.full.faults, part, self.parts))


def share(whole: int, part: int, parts: int) -> int:
    """What part `part` (1-based) of `parts` has of a whole; together they have all of it."""
    return whole * part // parts - whole * (part - 1) // parts
