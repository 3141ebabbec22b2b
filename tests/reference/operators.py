"""What people ask of a running execution, asked of the core and of the reference at once."""

from __future__ import annotations

import random
from abc import abstractmethod
from dataclasses import dataclass
from typing import Any

from engine.dag.values import Value, inline
from engine.dag.work import Iteration, Work, WorkKey
from tests.reference.evaluate import Outcome
from tests.reference.evaluating import Evaluating
from tests.reference.interpreter import Due, Reference
from tests.reference.people import Asked


@dataclass
class Delayed:
    """A delay that waits; `ended` is how its node ends."""

    work: Work
    ended: Outcome
    upstream: Value


class Operators(Evaluating):
    """Skips, retries, pauses. `skipped`, `retried` and `pauses` count those that were taken."""

    rng: random.Random
    reference: Reference
    timers: list[Work]
    active: dict[WorkKey, tuple[Work, dict[str, Any], Any]]
    asked: dict[WorkKey, Asked]
    delayed: dict[WorkKey, Delayed]
    paused: bool
    skipped: int
    retried: int
    pauses: int

    @abstractmethod
    def _take(self) -> None:
        """Take what the core asks for now."""

    @abstractmethod
    def _compare(self) -> None:
        """Both must have the same running, waiting and due."""

    def operate(self) -> None:
        """Somebody skips a node, tries one again now, pauses or resumes; then both are compared."""
        waits = any(work.purpose == "retry" for work in self.timers)
        asks = [self._skip, lambda: self._pause(paused=not self.paused), self._retry_now]
        (self._retry_now if waits else self.rng.choice(asks))()
        self._take()
        self._compare()

    def _skip(self) -> None:
        """Any node of an open graph: it waits, runs, or has ended; both must take it, or neither."""
        frame = self.rng.choice([*self.core.frames.values()])
        node = self.plan.nodes[self.rng.choice([*frame.nodes])]
        place = (node.path, frame.iteration)
        output = {"skipped": node.id}
        asked = ("approval", node.index, frame.iteration) in self.asked
        taken = self.core.skip(*place, inline(output))
        assert taken == self.reference.skip(*place, output, attempts=int(asked)), f"only one could skip {place}"
        if taken:
            self.skipped += 1
            self._forget(node.index, frame.iteration)

    def _forget(self, index: int, iteration: Iteration) -> None:
        """What ran or waited for the node is none of ours any more; a container goes on to its end."""
        for held in (self.active, self.asked, self.delayed):
            for key in [key for key in held if key[1:] == (index, iteration) and key not in self.core.works]:
                del held[key]

    def _retry_now(self) -> None:
        """A container that waits for its next run, if there is one."""
        waiting = [work for work in self.timers if work.purpose == "retry"]
        if not waiting:
            assert not self.core.retry_now(self.rng.choice(self.plan.nodes).path, ())
            return
        work = self.rng.choice(waiting)
        self.timers.remove(work)
        self._perform(Due("again", self._key(work)))
        assert self.core.retry_now(*self._place(work))
        self.retried += 1

    def _pause(self, *, paused: bool) -> None:
        self.paused = paused
        self.pauses += paused
        self.reference.pause() if paused else self.reference.resume()
