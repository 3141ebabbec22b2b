"""Loop: which passes may start, and what the results are when they have ended."""

from __future__ import annotations

from typing import Any

from engine.dag.outcome import error_dict
from engine.dag.values import Value, concatenation, element, inline, listing, mapping
from engine.errors import RESOURCE_EXHAUSTED

MAX_SHARDS = 5  # child Temporal workflows of one loop that run at once


class Loop:
    """The state of one run of a loop node.

    `opened` is what opening it found: `count` (None for while), `items`, `proceed` (the first `condition`),
    `concurrency`, `max_iterations`, `on_item_error`, `breaks` (there is a break_condition). `low` and `high`
    bound the passes when this is a shard of a larger loop.
    """

    __slots__ = (
        "broken",
        "failure",
        "failure_path",
        "generation",
        "high",
        "last",
        "next",
        "opened",
        "proceed",
        "results",
        "running",
        "sharded",
        "sizes",
        "stopped",
        "variables",
    )

    def __init__(self, opened: dict[str, Any], generation: int) -> None:
        self.opened = opened
        self.generation = generation
        self.next = int(opened.get("low", 0))
        self.high: int | None = opened.get("high", opened.get("count"))
        self.results: dict[int, Value] = {}
        self.running: list[int] = []  # first passes of running frames or shards, in start order
        self.broken: int | None = None
        self.last: Value | None = None
        self.proceed = bool(opened.get("proceed", True))
        self.variables: dict[str, Value] = {}
        self.failure: dict[str, Any] | None = None
        self.failure_path = ""
        self.stopped = False  # cancelled from outside
        self.sharded = 0  # passes a shard runs; 0: passes run here
        self.sizes: dict[int, int] = {}  # results of each shard, by its first pass

    @property
    def concurrency(self) -> int:
        return max(1, int(self.opened.get("concurrency", 1)))

    @property
    def slots(self) -> int:
        """Passes, or shards, that may run at once; the shards share the loop's concurrency."""
        if not self.sharded:
            return self.concurrency
        shards = -(-(self.high or 0) // self.sharded)
        return max(1, min(MAX_SHARDS, self.concurrency, shards))

    @property
    def continues(self) -> bool:
        """Whether a failed pass gives an error in its place; a while loop's next condition needs its result."""
        return self.opened.get("on_item_error") == "continue" and self.opened.get("count") is not None

    @property
    def max_iterations(self) -> int:
        return int(self.opened.get("max_iterations", 1000))

    def refusal(self) -> dict[str, Any] | None:
        """Why the loop may not run at all: a known count over the limit that no break could cut short."""
        count = self.opened.get("count")
        if count is not None and count > self.max_iterations and not self.opened.get("breaks"):
            return self._too_many(count)
        return None

    def _too_many(self, count: int | None) -> dict[str, Any]:
        wanted = f"{count} iterations" if count is not None else "one more iteration"
        return error_dict(
            RESOURCE_EXHAUSTED,
            f"the loop wants {wanted}, its max_iterations is {self.max_iterations}",
            {"max_iterations": self.max_iterations, "hint": "raise max_iterations or narrow the items"},
        )

    def fail(self, error: dict[str, Any] | None, path: str = "") -> None:
        """Note why the loop fails; the first reason stays."""
        if self.failure is None:
            self.failure, self.failure_path = error, path

    def startable(self) -> int | None:
        """The pass that may start now, or None. Sets `failure` when max_iterations is passed."""
        if self.failure is not None or self.stopped or self.broken is not None or not self.proceed:
            return None
        if self.high is not None and self.next >= self.high:
            return None
        if len(self.running) >= self.slots:
            return None
        if self.next >= self.max_iterations:
            self.failure = self._too_many(None)
            return None
        return self.next

    def item(self, index: int) -> Value | None:
        """`item` in pass `index`: the element for foreach, the number for for, nothing for while."""
        if self.opened.get("items") is not None:
            return element(self.opened["items"], index)
        if self.opened.get("count") is not None:
            return inline(index)
        return None

    def close_pass(self, index: int, output: Value, *, broke: bool, proceed: bool) -> list[int]:
        """Take the end of a pass; answers the running passes that the break cuts off."""
        self.running.remove(index)
        self.results[index] = output
        self.last = output
        self.proceed = proceed
        if broke and (self.broken is None or index < self.broken):
            self.broken = index
        if self.broken is None:
            return []
        return [running for running in self.running if running > (self.broken or 0)]

    @property
    def finished(self) -> bool:
        return not self.running

    def results_in_order(self) -> list[Value]:
        end = self.broken + 1 if self.broken is not None else None
        return [self.results[index] for index in sorted(self.results) if end is None or index < end]

    def output(self) -> Value:
        """`{items, iterations, broken}` as NODES.md gives it."""
        parts = self.results_in_order()
        if self.sharded:
            end = self.broken + 1 if self.broken is not None else None
            items = concatenation(parts)
            count = sum(size for low, size in self.sizes.items() if end is None or low < end)
        else:
            items, count = listing(parts), len(parts)
        return mapping({"items": items, "iterations": inline(count), "broken": inline(self.broken is not None)})

    def to_wire(self) -> dict[str, Any]:
        return {
            "o": self.opened,
            "g": self.generation,
            "n": self.next,
            "h": self.high,
            "r": [[index, value] for index, value in sorted(self.results.items())],
            "run": self.running,
            "b": self.broken,
            "l": self.last,
            "p": self.proceed,
            "v": self.variables,
            "f": self.failure,
            "fp": self.failure_path,
            "st": self.stopped,
            "sh": self.sharded,
            "sz": [[low, size] for low, size in sorted(self.sizes.items())],
        }

    @classmethod
    def from_wire(cls, wire: dict[str, Any]) -> Loop:
        loop = cls(wire["o"], wire["g"])
        loop.next = wire["n"]
        loop.high = wire["h"]
        loop.results = {row[0]: row[1] for row in wire["r"]}
        loop.running = list(wire["run"])
        loop.broken = wire["b"]
        loop.last = wire["l"]
        loop.proceed = wire["p"]
        loop.variables = wire["v"]
        loop.failure = wire["f"]
        loop.failure_path = wire["fp"]
        loop.stopped = wire["st"]
        loop.sharded = wire["sh"]
        loop.sizes = {row[0]: row[1] for row in wire["sz"]}
        return loop
