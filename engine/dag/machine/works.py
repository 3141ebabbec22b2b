"""Works: what a run holds, and the work it asks for and waits for."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from engine.dag.control.loop import Loop
from engine.dag.control.parallel import Parallel
from engine.dag.frame import Frame, FrameKey, NodeState
from engine.dag.outcome import Outcome
from engine.dag.plan import Plan, PlanNode
from engine.dag.values import NULL, Value
from engine.dag.work import Iteration, Work, WorkKey, WorkKind

Container = Loop | Parallel
ContainerKey = tuple[int, Iteration]


@dataclass(slots=True)
class Settled:
    """A node execution that has ended."""

    node: PlanNode
    iteration: Iteration
    state: NodeState


class Works:
    """The state of a run, with everything nested in it, and its open work."""

    def __init__(
        self, plan: Plan, *, expand_local: bool = False, hand_back: bool = False, shard_passes: int = 0
    ) -> None:
        self.plan = plan
        self.expand_local = expand_local
        self.hand_back = hand_back
        self.shard_passes = shard_passes
        self.now = 0.0
        self.input: Value = NULL
        self.error: Value | None = None  # `error` as handlers see it
        self.generation = 0  # the highest used
        self.regenerate = False  # containers of the root frame start in a new generation
        self.frames: dict[FrameKey, Frame] = {}
        self.containers: dict[ContainerKey, Container] = {}
        self.works: dict[WorkKey, Work] = {}
        self.outer: dict[int, list[Any]] = {}  # views of nodes that are not in any frame here
        self.root_ended: Callable[[Frame], None] = lambda _frame: None
        self.handed_back: Callable[[PlanNode, Outcome], None] = lambda _node, _outcome: None
        self._ready: list[Work] = []
        self._cancels: list[WorkKey] = []
        self._settled: list[Settled] = []
        self._spread: deque[tuple[Frame, int, str | None]] = deque()
        self._spreading = False

    def take_ready(self) -> list[Work]:
        """Work that may start now, in the order it became ready. Each is given out once."""
        ready = [work for work in self._ready if self.works.get(work.key) is work]
        self._ready = []
        return ready

    def give_back(self, works: list[Work]) -> None:
        """Return work that could not start yet; it comes first in the next `take_ready`."""
        self._ready = works + self._ready

    def take_cancels(self) -> list[WorkKey]:
        cancels, self._cancels = self._cancels, []
        return cancels

    def take_settled(self) -> list[Settled]:
        settled, self._settled = self._settled, []
        return settled

    def mark_started(self, work: Work, now: float) -> None:
        """The driver has begun the work."""
        work.started = True
        if work.kind in ("node", "open"):
            _, state = self._locate(work)
            state.status = "running"
            state.started_at = state.started_at or now

    def mark_waiting(self, work: Work) -> None:
        """The driver has given the work back before it began."""
        work.started = False
        if work.kind in ("node", "open"):
            _, state = self._locate(work)
            state.status = "queued"
            if state.attempts == 0:
                state.started_at = 0.0

    def frame_of(self, work: Work) -> Frame:
        """The frame that a piece of work belongs to."""
        if work.kind in ("pass", "outputs"):
            return self.frames[(work.subject, work.iteration)]
        return self.frames[(self.plan.nodes[work.subject].graph, work.iteration)]

    def find(self, path: str, iteration: Iteration) -> tuple[Frame, PlanNode, NodeState] | None:
        """A node execution by path and iteration, if its frame is open here."""
        node = self.plan.by_path.get(path)
        if node is None:
            return None
        frame = self.frames.get((node.graph, iteration))
        if frame is None or node.index not in frame.nodes:
            return None
        return frame, node, frame.nodes[node.index]

    def _locate(self, work: Work) -> tuple[Frame, NodeState]:
        frame = self.frame_of(work)
        return frame, frame.nodes[work.subject]

    def ask_again(self, kind: WorkKind, subject: int, iteration: Iteration, generation: int, **more: Any) -> None:
        """Ask for work that an earlier run had asked for."""
        self._issue(kind, subject, iteration, generation, **more)

    def _issue(self, kind: WorkKind, subject: int, iteration: Iteration, generation: int, **more: Any) -> Work:
        work = Work(kind, subject, iteration, generation, **more)
        self.works[work.key] = work
        self._ready.append(work)
        return work

    def _issue_timer(self, subject: int, iteration: Iteration, purpose: str, deadline: float) -> None:
        self._issue("timer", subject, iteration, 0, purpose=purpose, deadline=deadline)

    def _next_generation(self) -> int:
        self.generation += 1
        return self.generation

    def _keys_of(self, index: int, iteration: Iteration) -> list[WorkKey]:
        kinds = ("node", "open", "assign", "child", "timer:retry", "timer:delay", "timer:timeout", "approval")
        return [(kind, index, iteration) for kind in kinds if (kind, index, iteration) in self.works]

    def _drop_works(self, index: int, iteration: Iteration) -> None:
        for key in self._keys_of(index, iteration):
            del self.works[key]

    def _is_started(self, frame: Frame, node: PlanNode) -> bool:
        return any(self.works[key].started for key in self._keys_of(node.index, frame.iteration))
