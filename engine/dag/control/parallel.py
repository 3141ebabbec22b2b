"""Parallel: branches that run side by side, and how many of them must succeed."""

from __future__ import annotations

from typing import Any

from engine.dag.outcome import error_dict
from engine.dag.values import Value, mapping
from engine.errors import TIMEOUT


class Parallel:
    """The state of one run of a parallel node. `needed` is how many branches must succeed; branches go by number."""

    __slots__ = (
        "branches",
        "failed",
        "failure",
        "failure_path",
        "generation",
        "needed",
        "opened",
        "results",
        "running",
        "stopped",
        "variables",
    )

    def __init__(self, opened: dict[str, Any], generation: int, branches: list[str]) -> None:
        self.opened = opened
        self.generation = generation
        self.branches = branches
        wait = opened.get("wait", "all")
        self.needed = len(branches) if wait == "all" else 1 if wait == "any" else int(wait)
        self.results: dict[int, Value] = {}
        self.variables: dict[int, dict[str, Value]] = {}
        self.failed: list[int] = []
        self.running: list[int] = list(range(len(branches)))
        self.failure: dict[str, Any] | None = None
        self.failure_path = ""
        self.stopped = False

    def close_branch(self, number: int, output: Value, variables: dict[str, Value]) -> bool:
        """Take a successful branch; answers whether enough have succeeded."""
        self.running.remove(number)
        if not self.enough:
            self.results[number] = output
            self.variables[number] = variables
        return self.enough

    def fail_branch(self, number: int, error: dict[str, Any] | None, path: str) -> bool:
        """Note that a branch fails, while it may still be stopping; answers whether `needed` is out of reach."""
        if number not in self.failed:
            self.failed.append(number)
        out_of_reach = len(self.branches) - len(self.failed) < self.needed
        if out_of_reach and self.failure is None and not self.enough:
            self.failure, self.failure_path = error, path
        return self.failure is not None

    def time_out(self, seconds: float) -> None:
        """The time is up; too late to matter if enough branches have succeeded and the rest only stops."""
        if self.failure is None and not self.enough:
            self.failure = error_dict(TIMEOUT, f"the branches did not end within {seconds:g} s", retryable=True)

    @property
    def enough(self) -> bool:
        return len(self.results) >= self.needed

    @property
    def finished(self) -> bool:
        return not self.running

    def output(self) -> Value:
        """`{<branch id>: outputs}` of the branches that succeeded, in document order."""
        return mapping({self.branches[number]: self.results[number] for number in sorted(self.results)})

    def merged_variables(self) -> dict[str, Value]:
        merged: dict[str, Value] = {}
        for number in sorted(self.variables):
            merged.update(self.variables[number])
        return merged

    def to_wire(self) -> dict[str, Any]:
        return {
            "o": self.opened,
            "g": self.generation,
            "r": [[number, value] for number, value in sorted(self.results.items())],
            "v": [[number, variables] for number, variables in sorted(self.variables.items())],
            "x": self.failed,
            "run": self.running,
            "f": self.failure,
            "fp": self.failure_path,
            "st": self.stopped,
        }

    @classmethod
    def from_wire(cls, wire: dict[str, Any], branches: list[str]) -> Parallel:
        parallel = cls(wire["o"], wire["g"], branches)
        parallel.results = {row[0]: row[1] for row in wire["r"]}
        parallel.variables = {row[0]: row[1] for row in wire["v"]}
        parallel.failed = list(wire["x"])
        parallel.running = list(wire["run"])
        parallel.failure = wire["f"]
        parallel.failure_path = wire["fp"]
        parallel.stopped = wire["st"]
        return parallel
