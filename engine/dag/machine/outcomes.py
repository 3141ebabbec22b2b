"""Outcomes: what the end of a piece of a node's work means for the node, and when it is tried again."""

from __future__ import annotations

from abc import abstractmethod
from datetime import UTC, datetime
from typing import Any

from engine.dag.control import approval
from engine.dag.frame import Frame, NodeState
from engine.dag.machine.readiness import COMPOUND_KINDS, Readiness
from engine.dag.outcome import Outcome, error_dict, failed
from engine.dag.plan import HANDLERS, PlanNode
from engine.dag.retry import next_delay_s
from engine.dag.values import NULL, Value, inline
from engine.dag.work import Work
from engine.errors import CANCELLED, EXECUTION_FAILED


def resolve_failure(node: PlanNode, error: dict[str, Any], upstream: Value) -> tuple[str, Value, str | None]:
    """Status, output and emitted port of a node that failed for good, by its `on_error` (`then` after retries)."""
    if node.final == "continue":
        port = "error" if node.error_edge else node.default_port
        return "failed", inline({"error": error}), port
    if node.final == "skip":
        return "skipped", upstream, node.default_port
    return "failed", NULL, None


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()


class Outcomes(Readiness):
    """Nodes, and the parts of nodes that the interpreter drives: opening, waiting, assigning."""

    # ---- what the layers above add

    @abstractmethod
    def _stop(self, frame: Frame) -> None:
        """Take back what has not started in the frame and cancel what runs."""

    @abstractmethod
    def _body_failing(self, frame: Frame) -> None:
        """Tell the container of a body that it fails for good, before all of it has ended."""

    @abstractmethod
    def _open_loop(self, frame: Frame, node: PlanNode, state: NodeState) -> None:
        """Start the passes of a loop that has been opened."""

    @abstractmethod
    def _open_parallel(self, frame: Frame, node: PlanNode, state: NodeState) -> None:
        """Start the branches of a parallel that has been opened."""

    @abstractmethod
    def _parallel_timed_out(self, frame: Frame, node: PlanNode) -> None:
        """The timeout of a parallel has passed."""

    def _node_done(self, work: Work, outcome: Outcome) -> None:
        frame, state = self._locate(work)
        node = self.plan.nodes[work.subject]
        if node.kind in COMPOUND_KINDS and outcome.status != "skipped":
            outcome.attempts = state.attempts + 1
        self._end_node(frame, node, outcome)

    def _end_node(self, frame: Frame, node: PlanNode, outcome: Outcome) -> None:
        state = frame.nodes[node.index]
        state.attempts = max(state.attempts, outcome.attempts)
        state.started_at = state.started_at or outcome.started_at
        state.finished_at = outcome.finished_at
        self.generation = max(self.generation, outcome.generation)
        if state.override is not None:
            self._override(frame, node)
        elif outcome.status == "success":
            self._succeed(frame, node, outcome)
        elif outcome.status == "skipped":
            state.reason = outcome.reason or "when"
            self._settle(frame, node.index, "skipped", None)
        elif outcome.status == "cancelled" and frame.stopping:
            state.error = error_dict(CANCELLED, "cancelled while it ran")
            self._settle(frame, node.index, "cancelled", None)
        else:
            self._fail(frame, node, outcome)
        self._check(frame)

    def _succeed(self, frame: Frame, node: PlanNode, outcome: Outcome) -> None:
        state = frame.nodes[node.index]
        state.output, state.data, state.assigned, state.error = outcome.output, outcome.data, outcome.assigned, None
        frame.variables.update(outcome.assigned or {})
        self._settle(frame, node.index, "success", outcome.port or node.default_port)

    def _fail(self, frame: Frame, node: PlanNode, outcome: Outcome) -> None:
        state = frame.nodes[node.index]
        error = outcome.error or error_dict(EXECUTION_FAILED, f"{outcome.status} without an error")
        state.error = error
        if self.hand_back and node.retry is not None and frame.parent is None:
            self.handed_back(node, outcome)  # the node stays open here: its owner decides
        elif frame.stopping:
            self._settle(frame, node.index, "failed", None)
        elif outcome.opened is not None and node.kind == "io":
            # People may let it pass; until they have decided, its failure stands back.
            state.opened, state.error, state.finished_at = {**outcome.opened, "error": error}, None, 0.0
            self._ask(frame, node, state)
        elif self._may_retry(node, state, outcome):
            self._wait_for_retry(frame, node, state)
        else:
            status, state.output, port = resolve_failure(node, error, self.upstream_of(frame, node))
            state.reason = "error" if status == "skipped" else None
            stops = node.final == "fail" and frame.graph.index != HANDLERS  # a handler's failure changes nothing else
            if stops:  # first, so that nothing starts on the edges of this node
                frame.failure, frame.failure_node = error, node.path
            self._settle(frame, node.index, status, port)
            if stops:
                self._stop(frame)
                self._body_failing(frame)

    def _may_retry(self, node: PlanNode, state: NodeState, outcome: Outcome) -> bool:
        """Retries that are ours: containers, and local nodes that leave their region. Activities retry at Temporal."""
        if self.hand_back or node.retry is None or state.attempts >= node.retry.max_attempts:
            return False
        return node.kind in COMPOUND_KINDS or outcome.status == "left"

    def _wait_for_retry(self, frame: Frame, node: PlanNode, state: NodeState) -> None:
        assert node.retry is not None
        state.status = "retrying"
        delay_s = next_delay_s(node.retry, state.attempts)
        if node.kind == "io":  # one that a segment ran
            delay_s = max(delay_s, float((state.error or {}).get("details", {}).get("retry_after_s", 0)))
        state.deadline = self.now + delay_s
        state.checkpoint = None
        self._issue_timer(node.index, frame.iteration, "retry", state.deadline)

    def _timer_fired(self, work: Work, outcome: Outcome) -> None:
        frame, state = self._locate(work)
        node = self.plan.nodes[work.subject]
        if work.purpose == "retry":
            self._try_again(frame, node, state)
        elif work.purpose == "timeout":
            self._parallel_timed_out(frame, node)
        else:
            self._delay_ended(frame, node, state)

    def _try_again(self, frame: Frame, node: PlanNode, state: NodeState) -> None:
        state.status = "queued"
        compound = node.kind in COMPOUND_KINDS
        if compound:
            state.generation = self._next_generation()
        self._issue_first(frame, node, attempt=1 if compound else state.attempts + 1)

    def _opened(self, work: Work, outcome: Outcome) -> None:
        frame, state = self._locate(work)
        node = self.plan.nodes[work.subject]
        if node.kind in COMPOUND_KINDS and outcome.status != "skipped":
            state.attempts += 1
            outcome.attempts = state.attempts
        if outcome.status != "success" or frame.stopping or state.override is not None:
            if outcome.status == "success":
                outcome = Outcome("cancelled", started_at=outcome.started_at, attempts=outcome.attempts)
            self._end_node(frame, node, outcome)
            return
        state.started_at = state.started_at or outcome.started_at
        state.opened = outcome.opened or {}
        if node.kind == "loop":
            self._open_loop(frame, node, state)
        elif node.kind == "parallel":
            self._open_parallel(frame, node, state)
        elif node.kind == "delay":
            state.status, state.deadline = "waiting", float(state.opened["until"])
            self._issue_timer(node.index, frame.iteration, "delay", state.deadline)
        elif node.kind == "approval":
            self._ask(frame, node, state)
        else:
            self._issue("child", node.index, frame.iteration, state.generation)

    def _delay_ended(self, frame: Frame, node: PlanNode, state: NodeState) -> None:
        output = inline({"started_at": _iso(state.started_at), "ended_at": _iso(self.now)})
        self._after_opened(frame, node, Outcome("success", output=output, attempts=1, finished_at=self.now))

    def _ask(self, frame: Frame, node: PlanNode, state: NodeState) -> None:
        """Wait for people, by what `state.opened` says."""
        asked = state.opened or {}
        state.status, state.deadline, state.attempts = "waiting", float(asked["until"]), max(state.attempts, 1)
        self._issue("approval", node.index, frame.iteration, state.generation, deadline=state.deadline)

    def _approval_timed_out(self, work: Work, outcome: Outcome) -> None:
        frame, state = self._locate(work)
        self._decided(frame, self.plan.nodes[work.subject], state, approval.TIMED_OUT)

    def _decided(self, frame: Frame, node: PlanNode, state: NodeState, decision: str) -> None:
        asked = state.opened or {}
        asked["decision"] = decision
        if node.kind != "approval":
            self._let_pass(frame, node, state, decision)
            return
        result = Outcome("success", output=approval.output(asked), port=decision, attempts=1, finished_at=self.now)
        self._after_opened(frame, node, result)

    def _let_pass(self, frame: Frame, node: PlanNode, state: NodeState, decision: str) -> None:
        """Run a node again that people let pass, else fail it with the error that it asked over."""
        if decision == approval.APPROVED:
            state.status = "queued"
            self._issue_first(frame, node, attempt=state.attempts + 1)
            return
        error: dict[str, Any] = (state.opened or {})["error"]
        self._end_node(frame, node, failed(error, attempts=state.attempts, finished_at=self.now))

    def _child_done(self, work: Work, outcome: Outcome) -> None:
        frame, _ = self._locate(work)
        self._after_opened(frame, self.plan.nodes[work.subject], outcome)

    def _after_opened(self, frame: Frame, node: PlanNode, outcome: Outcome) -> None:
        """End such a node, or evaluate its `assign` first."""
        state = frame.nodes[node.index]
        whole = "high" not in (state.opened or {})  # the `assign` of a loop in shards is for the loop, not for each
        if outcome.status == "success" and node.assigns and whole and not frame.stopping and state.override is None:
            state.status, state.output, state.finished_at = "closing", outcome.output, outcome.finished_at
            state.assigned, state.port = outcome.assigned, outcome.port
            self._issue("assign", node.index, frame.iteration, state.generation)
        else:
            self._end_node(frame, node, outcome)

    def _assigned(self, work: Work, outcome: Outcome) -> None:
        frame, state = self._locate(work)
        if outcome.status == "success":
            outcome.output, outcome.port = state.output, state.port
            outcome.assigned = {**(state.assigned or {}), **(outcome.assigned or {})}
        state.assigned, state.output, state.port = None, NULL, None
        outcome.attempts = state.attempts or 1
        self._end_node(frame, self.plan.nodes[work.subject], outcome)
