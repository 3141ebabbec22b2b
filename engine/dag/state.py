"""Run: the meaning of the graph, as a state machine without I/O.

A driver asks `take_ready()` what to do, tells `mark_started()` and `complete()` what came of it, and obeys
`take_cancels()`. `take_settled()` gives the node executions that have ended since the last call. The same machine
is driven by the Temporal workflow, by a region (local nodes inside one activity) and by the tests.
Source of the rules: the design document, section 2, "Meaning of the graph".
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from engine.dag.control import approval
from engine.dag.frame import Frame
from engine.dag.machine.endings import Endings
from engine.dag.machine.outcomes import resolve_failure
from engine.dag.machine.works import Container, ContainerKey, Settled
from engine.dag.outcome import Outcome
from engine.dag.plan import PlanNode
from engine.dag.values import Value
from engine.dag.work import Iteration, Work, WorkKey, WorkKind

__all__ = ["Container", "ContainerKey", "Run", "Settled", "resolve_failure"]


class Run(Endings):
    """The state of a graph run, with everything nested in it.

    `expand_local` opens containers whose body is all local instead of asking for them as one piece of work;
    `hand_back` leaves retries to whoever gave the work (regions); `shard_passes` is how many passes of a loop run
    in this Temporal workflow before the loop goes out in shards (0: never).
    """

    def complete(self, key: WorkKey, outcome: Outcome, now: float) -> bool:
        """Take the outcome of a piece of work; False if nothing waits for it any more."""
        work = self.works.pop(key, None)
        if work is None:
            return False
        self.now = now
        work.started = True
        _HANDLERS[work.kind](self, work, outcome)
        return True

    def skip(self, path: str, iteration: Iteration, output: Value) -> bool:
        """Give a node an output in place of running it; False if it has settled or is not here."""
        found = self.find(path, iteration)
        if found is None or found[2].settled or found[0].stopping:
            return False
        frame, node, state = found
        state.override = output
        if state.status in ("pending", "queued") and not self._is_started(frame, node):
            if state.status == "queued":
                self._drop_works(node.index, iteration)
                self._override(frame, node)
        elif (node.index, iteration) in self.containers:
            self._cancel_node(frame, node.index)
        else:
            for key in self._keys_of(node.index, iteration):
                self.works.pop(key)
                self._cancels.append(key)
            self._override(frame, node)
        return True

    def skip_at_end(self, path: str, iteration: Iteration, output: Value) -> bool:
        """Skip a node whose activity may have closed the record already: cancel it, and see how it ends.

        `keep_own`, before its outcome is taken, lets that stand in place of `output`.
        """
        found = self.find(path, iteration)
        if found is None or found[2].settled or found[0].stopping:
            return False
        found[2].override = output
        self._cancels += self._keys_of(found[1].index, iteration)
        return True

    def is_overridden(self, work: Work) -> bool:
        """Whether the node has been given an output in place of its own."""
        return self._locate(work)[1].override is not None

    def keep_own(self, work: Work) -> None:
        """Forget that the node was given an output."""
        self._locate(work)[1].override = None

    def retry_now(self, path: str, iteration: Iteration) -> bool:
        """End a node's wait for its next attempt; False if it is not waiting here."""
        found = self.find(path, iteration)
        if found is None:
            return False
        key = ("timer:retry", found[1].index, iteration)
        if key not in self.works:
            return False
        self._cancels.append(key)
        return self.complete(key, Outcome("success"), self.now)

    def decide(self, path: str, iteration: Iteration, word: dict[str, Any]) -> bool:
        """Take a person's word on an approval; False if it does not wait here, or that person has said otherwise.

        `word` is {by, decision, form, comment, at}; see `engine.dag.control.approval`.
        """
        found = self.find(path, iteration)
        key = ("approval", found[1].index if found else -1, iteration)
        if found is None or key not in self.works:
            return False
        frame, node, state = found
        asked = state.opened or {}
        if not approval.take(asked, word):
            return False
        decision = approval.verdict(asked)
        if decision is not None:
            del self.works[key]
            self._cancels.append(key)  # its clock
            self._decided(frame, node, state, decision)
        return True

    def start_node(self, frame: Frame, node: PlanNode) -> None:
        """Start a node that is known to be ready."""
        self._start(frame, node)

    def adopt(self, subject: int, iteration: Iteration) -> None:
        """Take for started an I/O node that a segment has started, though its graph stopped before this run knew."""
        frame = self.frames.get((self.plan.nodes[subject].graph, iteration))
        state = frame.nodes.get(subject) if frame is not None else None
        if frame is None or state is None or state.status != "pending" or not frame.stopping:
            return
        if not self.plan.nodes[subject].fused:  # what has no effect outside may as well not have run
            return
        state.status, state.generation = "queued", state.generation or frame.generation
        frame.active += 1
        self._issue("node", subject, iteration, state.generation)

    def start_part(self, frame: Frame, node: PlanNode, kind: WorkKind, output: Value) -> None:
        """Start one part of a node that the interpreter drives: `open` or `assign`."""
        state = frame.nodes[node.index]
        state.status, state.output = "closing" if kind == "assign" else "queued", output
        frame.active += 1
        self._issue(kind, node.index, frame.iteration, state.generation)

    def start_passes(self, frame: Frame, node: PlanNode, opened: dict[str, Any], variables: dict[str, Value]) -> None:
        """Start a loop that has been opened elsewhere, for a range of its passes."""
        state = frame.nodes[node.index]
        state.status, state.opened, state.attempts, state.started_at = "running", opened, 1, self.now
        state.generation = state.generation or frame.generation
        frame.active += 1
        self._open_loop(frame, node, state, variables)

    def issue_closing(self, kind: WorkKind, frame: Frame) -> None:
        """Ask for the evaluation of a frame's end: `pass` or `outputs`."""
        frame.closing = True
        self._issue(kind, frame.graph.index, frame.iteration, frame.generation)

    def _outputs_done(self, work: Work, outcome: Outcome) -> None:
        raise AssertionError("only an execution has outputs")


_HANDLERS: dict[str, Callable[[Run, Work, Outcome], None]] = {
    "node": Run._node_done,  # pyright: ignore[reportPrivateUsage]
    "open": Run._opened,  # pyright: ignore[reportPrivateUsage]
    "assign": Run._assigned,  # pyright: ignore[reportPrivateUsage]
    "pass": Run._pass_done,  # pyright: ignore[reportPrivateUsage]
    "outputs": lambda run, work, outcome: run._outputs_done(work, outcome),  # pyright: ignore[reportPrivateUsage]
    "timer": lambda run, work, outcome: run._timer_fired(work, outcome),  # pyright: ignore[reportPrivateUsage]
    "child": Run._child_done,  # pyright: ignore[reportPrivateUsage]
    "shard": Run._shard_done,  # pyright: ignore[reportPrivateUsage]
    "approval": Run._approval_timed_out,  # pyright: ignore[reportPrivateUsage]
}
