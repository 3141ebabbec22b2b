"""Run: the meaning of the graph, as a state machine without I/O.

A driver asks `take_ready()` what to do, tells `mark_started()` and `complete()` what came of it, and obeys
`take_cancels()`. `take_settled()` gives the node executions that have ended since the last call. The same machine
is driven by the Temporal workflow, by a region (local nodes inside one activity) and by the tests.
Source of the rules: the design document, section 2, "Meaning of the graph".
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from engine.dag.control.loop import Loop
from engine.dag.control.parallel import Parallel
from engine.dag.frame import Frame, FrameKey, NodeState, leaf_outputs
from engine.dag.outcome import Outcome, error_dict, failed
from engine.dag.plan import HANDLERS, MAIN, Plan, PlanNode
from engine.dag.retry import next_delay_s
from engine.dag.values import NULL, Value, inline, mapping
from engine.dag.work import Iteration, Work, WorkKey, WorkKind
from engine.errors import CANCELLED, EXECUTION_FAILED

Container = Loop | Parallel
ContainerKey = tuple[int, Iteration]
_OPENED_KINDS = ("loop", "parallel", "delay", "workflow")
_COMPOUND_KINDS = ("loop", "parallel", "workflow")  # each run of theirs has a generation, their retries are ours


@dataclass(slots=True)
class Settled:
    """A node execution that has ended."""

    node: PlanNode
    iteration: Iteration
    state: NodeState


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


class Run:
    """The state of a graph run, with everything nested in it.

    `expand_local` opens containers whose body is all local instead of asking for them as one piece of work;
    `hand_back` leaves retries to whoever gave the work (regions); `shard_passes` is how many passes of a loop run
    in this Temporal workflow before the loop goes out in shards (0: never).
    """

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

    # ---- what the driver calls

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

    def complete(self, key: WorkKey, outcome: Outcome, now: float) -> bool:
        """Take the outcome of a piece of work; False if nothing waits for it any more."""
        work = self.works.pop(key, None)
        if work is None:
            return False
        self.now = now
        work.started = True
        _HANDLERS[work.kind](self, work, outcome)
        return True

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

    def start_node(self, frame: Frame, node: PlanNode) -> None:
        """Start a node that is known to be ready."""
        self._start(frame, node)

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

    def cancel(self, frame: Frame) -> None:
        """Stop a frame from outside: running work is cancelled, the frame ends when all of it has."""
        if not frame.cancelling:
            frame.cancelling = True
            self._stop(frame)
            self._check(frame)

    # ---- frames

    def open_frame(
        self, graph: int, iteration: Iteration, generation: int, parent: Frame | None, *, upstream: Value = NULL
    ) -> Frame:
        """Make the frame of a graph; `begin_frame` starts it."""
        frame = Frame(self.plan.graphs[graph], iteration, generation, parent)
        frame.upstream = upstream
        frame.fill(self.plan.nodes)
        self.frames[frame.key] = frame
        return frame

    def begin_frame(self, frame: Frame, *, trigger: int | None = None) -> None:
        """Start the entry nodes; in the main graph, triggers other than the one that fired are pruned."""
        for index in list(frame.nodes):
            node, state = self.plan.nodes[index], frame.nodes[index]
            if node.incoming or state.status != "pending":
                continue
            if node.kind == "trigger" and frame.graph.index == MAIN and index != trigger:
                self._settle(frame, index, "pruned", None)
            else:
                self._make_ready(frame, node)
        self._check(frame)

    def seed_frame(self, frame: Frame, kept: list[tuple[int, NodeState]], *, record: bool) -> None:
        """Put settled states into a fresh frame, in completion order, and follow their edges."""
        for index, state in kept:
            frame.nodes[index] = state
            frame.unsettled -= 1
            frame.order.append(index)
            frame.variables.update(state.assigned or {})
            if record:
                self._settled.append(Settled(self.plan.nodes[index], frame.iteration, state))
        keep = {index for index, _ in kept}
        for index, state in kept:
            for number in self.plan.nodes[index].outgoing:
                _, port, target = frame.graph.edges[number]
                if target not in keep and target in frame.nodes:
                    self._edge(frame, number, target, live=port == state.port)
        self._spread_all()

    def upstream_of(self, frame: Frame, node: PlanNode) -> Value:
        """One live edge gives its port's data, several give `{source id: data}`, none the frame's own."""
        if not node.incoming:
            return frame.upstream
        live = frame.nodes[node.index].live
        sources = [frame.graph.edges[number][0] for number in (live if node.join_any else sorted(live))]
        if not sources:
            return NULL
        if node.join_any or len(sources) == 1:
            return self._port_data(frame, sources[0])
        return mapping({self.plan.nodes[source].id: self._port_data(frame, source) for source in sources})

    def _port_data(self, frame: Frame, index: int) -> Value:
        state = frame.nodes.get(index)
        if state is not None:
            return state.port_data
        view = self.outer[index]
        return (view[3] if len(view) > 3 and view[3] else None) or view[1]

    # ---- readiness

    def _make_ready(self, frame: Frame, node: PlanNode) -> None:
        state = frame.nodes[node.index]
        if frame.stopping:
            return
        if state.override is not None:
            self._override(frame, node)
        elif node.passive and not node.incoming:
            state.started_at = state.finished_at = self.now
            state.output, state.attempts = frame.upstream, 1
            self._settle(frame, node.index, "success", node.default_port)
        else:
            self._start(frame, node)

    def _start(self, frame: Frame, node: PlanNode) -> None:
        state = frame.nodes[node.index]
        state.status = "queued"
        frame.active += 1
        fresh = node.kind in _COMPOUND_KINDS and frame.parent is None and self.regenerate
        state.generation = self._next_generation() if fresh else state.generation or frame.generation
        self._issue_first(frame, node, attempt=1)

    def _issue_first(self, frame: Frame, node: PlanNode, *, attempt: int) -> None:
        state = frame.nodes[node.index]
        if node.assigns:
            visible = frame.visible_variables()
            state.before = {name: visible.get(name, NULL) for name in node.uses.variables}
        self._issue(self.first_kind(node), node.index, frame.iteration, state.generation, attempt=attempt)

    def first_kind(self, node: PlanNode) -> WorkKind:
        """What a ready node asks for first."""
        if node.kind not in _OPENED_KINDS or (node.local and not self.expand_local):
            return "node"
        return "open"

    def _next_generation(self) -> int:
        self.generation += 1
        return self.generation

    def ask_again(self, kind: WorkKind, subject: int, iteration: Iteration, generation: int, **more: Any) -> None:
        """Ask for work that an earlier run had asked for."""
        self._issue(kind, subject, iteration, generation, **more)

    def _issue(self, kind: WorkKind, subject: int, iteration: Iteration, generation: int, **more: Any) -> Work:
        work = Work(kind, subject, iteration, generation, **more)
        self.works[work.key] = work
        self._ready.append(work)
        return work

    def _edge(self, frame: Frame, number: int, target: int, *, live: bool) -> None:
        state = frame.nodes[target]
        if state.status != "pending":
            return
        state.pending -= 1
        if live:
            state.live.append(number)
        node = self.plan.nodes[target]
        if state.live and (state.pending == 0 or node.join_any):
            self._make_ready(frame, node)
        elif state.pending == 0 and not state.live:
            self._settle(frame, target, "pruned", None)

    # ---- settling

    def _settle(self, frame: Frame, index: int, status: str, port: str | None) -> None:
        """End a node; `port` is the one whose edges come alive, None kills them all."""
        state = frame.nodes[index]
        if state.status in ("queued", "running", "retrying", "waiting", "closing"):
            frame.active -= 1
        else:
            state.generation = frame.generation
        state.status, state.port = status, port
        state.finished_at = state.finished_at or self.now
        frame.unsettled -= 1
        frame.order.append(index)
        self._settled.append(Settled(self.plan.nodes[index], frame.iteration, state))
        if not frame.stopping:
            self._spread.append((frame, index, port))
            self._spread_all()

    def _spread_all(self) -> None:
        """Follow edges of settled nodes without recursion: a chain may be ten thousand long."""
        if self._spreading:
            return
        self._spreading = True
        try:
            while self._spread:
                frame, index, port = self._spread.popleft()
                for number in self.plan.nodes[index].outgoing:
                    _, edge_port, target = frame.graph.edges[number]
                    if target in frame.nodes and not frame.stopping:
                        self._edge(frame, number, target, live=port is not None and edge_port == port)
        finally:
            self._spreading = False

    def _override(self, frame: Frame, node: PlanNode) -> None:
        state = frame.nodes[node.index]
        state.output, state.reason, state.data = state.override or NULL, "operator", None
        self._settle(frame, node.index, "skipped", node.default_port)
        self._check(frame)

    # ---- outcomes of nodes

    def _locate(self, work: Work) -> tuple[Frame, NodeState]:
        frame = self.frame_of(work)
        return frame, frame.nodes[work.subject]

    def _node_done(self, work: Work, outcome: Outcome) -> None:
        frame, state = self._locate(work)
        node = self.plan.nodes[work.subject]
        if node.kind in _COMPOUND_KINDS and outcome.status != "skipped":
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

    def _may_retry(self, node: PlanNode, state: NodeState, outcome: Outcome) -> bool:
        """Retries that are ours: containers, and local nodes that leave their region. Activities retry at Temporal."""
        if self.hand_back or node.retry is None or state.attempts >= node.retry.max_attempts:
            return False
        return node.kind in _COMPOUND_KINDS or outcome.status == "left"

    def _wait_for_retry(self, frame: Frame, node: PlanNode, state: NodeState) -> None:
        assert node.retry is not None
        state.status = "retrying"
        state.deadline = self.now + next_delay_s(node.retry, state.attempts)
        state.checkpoint = None
        self._issue_timer(node.index, frame.iteration, "retry", state.deadline)

    def _issue_timer(self, subject: int, iteration: Iteration, purpose: str, deadline: float) -> None:
        self._issue("timer", subject, iteration, 0, purpose=purpose, deadline=deadline)

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
        compound = node.kind in _COMPOUND_KINDS
        if compound:
            state.generation = self._next_generation()
        self._issue_first(frame, node, attempt=1 if compound else state.attempts + 1)

    # ---- nodes that are opened first: containers, delays, child workflows

    def _opened(self, work: Work, outcome: Outcome) -> None:
        frame, state = self._locate(work)
        node = self.plan.nodes[work.subject]
        if node.kind in _COMPOUND_KINDS and outcome.status != "skipped":
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
        else:
            self._issue("child", node.index, frame.iteration, state.generation)

    def _open_loop(
        self, frame: Frame, node: PlanNode, state: NodeState, variables: dict[str, Value] | None = None
    ) -> None:
        loop = Loop(state.opened or {}, state.generation)
        loop.variables.update(variables or {})
        self.containers[(node.index, frame.iteration)] = loop
        count = loop.opened.get("count")
        whole = "high" not in loop.opened
        if whole and self.shard_passes and count is not None and count > self.shard_passes:
            loop.sharded = self.shard_passes
        loop.failure = loop.refusal()
        self._advance_loop(frame, node, loop)

    def _open_parallel(self, frame: Frame, node: PlanNode, state: NodeState) -> None:
        opened = state.opened or {}
        names = [self.plan.graphs[body].id for body in node.bodies]
        parallel = Parallel(opened, state.generation, names)
        self.containers[(node.index, frame.iteration)] = parallel
        if opened.get("timeout_s"):
            state.deadline = self.now + float(opened["timeout_s"])
            self._issue_timer(node.index, frame.iteration, "timeout", state.deadline)
        upstream = self.upstream_of(frame, node)
        frames = [
            self.open_frame(body, frame.iteration, state.generation, frame, upstream=upstream) for body in node.bodies
        ]
        for branch in frames:
            if self.containers.get((node.index, frame.iteration)) is parallel and not branch.stopping:
                self.begin_frame(branch)
        if not frames:
            self._check_container(frame, node)

    def _delay_ended(self, frame: Frame, node: PlanNode, state: NodeState) -> None:
        output = inline({"started_at": _iso(state.started_at), "ended_at": _iso(self.now)})
        self._after_opened(frame, node, Outcome("success", output=output, attempts=1, finished_at=self.now))

    def _child_done(self, work: Work, outcome: Outcome) -> None:
        frame, _ = self._locate(work)
        self._after_opened(frame, self.plan.nodes[work.subject], outcome)

    def _after_opened(self, frame: Frame, node: PlanNode, outcome: Outcome) -> None:
        """End such a node, or evaluate its `assign` first."""
        state = frame.nodes[node.index]
        whole = "high" not in (state.opened or {})  # the `assign` of a loop in shards is for the loop, not for each
        if outcome.status == "success" and node.assigns and whole and not frame.stopping and state.override is None:
            state.status, state.output, state.finished_at = "closing", outcome.output, outcome.finished_at
            state.assigned = outcome.assigned
            self._issue("assign", node.index, frame.iteration, state.generation)
        else:
            self._end_node(frame, node, outcome)

    def _assigned(self, work: Work, outcome: Outcome) -> None:
        frame, state = self._locate(work)
        if outcome.status == "success":
            outcome.output, outcome.port = state.output, None
            outcome.assigned = {**(state.assigned or {}), **(outcome.assigned or {})}
        state.assigned, state.output = None, NULL
        outcome.attempts = state.attempts or 1
        self._end_node(frame, self.plan.nodes[work.subject], outcome)

    # ---- loops

    def _advance_loop(self, frame: Frame, node: PlanNode, loop: Loop) -> None:
        key = (node.index, frame.iteration)
        while self.containers.get(key) is loop:
            index = loop.startable()
            if index is None:
                break
            if loop.sharded:
                self._start_shard(frame, node, loop, index)
            else:
                self._start_pass(frame, node, loop, index)
        if loop.failure is not None:
            self._stop_passes(frame, node, loop, above=-1)
        self._check_container(frame, node)

    def _start_pass(self, frame: Frame, node: PlanNode, loop: Loop, index: int) -> None:
        loop.next += 1
        loop.running.append(index)
        item = loop.item(index)
        upstream = item if loop.opened.get("items") is not None else None
        body = self.open_frame(
            node.bodies[0],
            (*frame.iteration, index),
            loop.generation,
            frame,
            upstream=upstream if upstream is not None else self.upstream_of(frame, node),
        )
        body.item, body.index, body.last = item, index, loop.last
        body.variables = dict(loop.variables)
        self.begin_frame(body)

    def _start_shard(self, frame: Frame, node: PlanNode, loop: Loop, low: int) -> None:
        high = min(low + loop.sharded, loop.high or 0)
        loop.next = high
        loop.running.append(low)
        self._issue("shard", node.index, frame.iteration, loop.generation, low=low, high=high)

    def _loop_of(self, frame: Frame) -> tuple[Frame, PlanNode, Loop]:
        assert frame.parent is not None
        assert frame.graph.owner is not None
        node = self.plan.nodes[frame.graph.owner]
        container = self.containers[(node.index, frame.parent.iteration)]
        assert isinstance(container, Loop)
        return frame.parent, node, container

    def _pass_closed(self, frame: Frame, outcome: Outcome) -> None:
        parent, node, loop = self._loop_of(frame)
        index = frame.iteration[-1]
        loop.variables.update(frame.variables)
        opened = outcome.opened or {}
        cut = loop.close_pass(
            index, outcome.output, broke=bool(opened.get("broke")), proceed=opened.get("proceed", True)
        )
        del self.frames[frame.key]
        if cut:
            self._stop_passes(parent, node, loop, above=loop.broken or 0)
        self._advance_loop(parent, node, loop)

    def _pass_failed(self, frame: Frame) -> None:
        parent, node, loop = self._loop_of(frame)
        index = frame.iteration[-1]
        del self.frames[frame.key]
        handled = loop.continues and frame.failure is not None and not frame.cancelling
        if handled:
            loop.close_pass(index, inline({"error": frame.failure}), broke=False, proceed=True)
        else:
            loop.running.remove(index)
            if frame.failure is not None and not frame.cancelling and loop.failure is None:
                loop.failure, loop.failure_path = frame.failure, frame.failure_node
        self._advance_loop(parent, node, loop)

    def _stop_passes(self, frame: Frame, node: PlanNode, loop: Loop, *, above: int) -> None:
        for index in [running for running in loop.running if running > above]:
            if loop.sharded:
                self._cancel_work(("shard", node.index, (*frame.iteration, index)))
            else:
                body = self.frames.get((node.bodies[0], (*frame.iteration, index)))
                if body is not None:
                    self.cancel(body)

    def _shard_done(self, work: Work, outcome: Outcome) -> None:
        frame, _ = self._locate(work)
        node = self.plan.nodes[work.subject]
        loop = self.containers[(node.index, work.iteration)]
        assert isinstance(loop, Loop)
        self.generation = max(self.generation, outcome.generation)
        loop.running.remove(work.low)
        opened = outcome.opened or {}
        if outcome.status == "success":
            loop.results[work.low] = outcome.output  # a list: the shard's results in order
            loop.sizes[work.low] = int(opened["iterations"])
            loop.variables.update(outcome.assigned or {})
            if opened.get("broken") is not None and (loop.broken is None or opened["broken"] < loop.broken):
                loop.broken = opened["broken"]
                self._stop_passes(frame, node, loop, above=work.low)
        elif outcome.status == "failed" and loop.failure is None:
            loop.failure, loop.failure_path = outcome.error, ""
        self._advance_loop(frame, node, loop)

    # ---- branches

    def _parallel_of(self, frame: Frame) -> tuple[Frame, PlanNode, Parallel, int]:
        assert frame.parent is not None
        assert frame.graph.owner is not None
        node = self.plan.nodes[frame.graph.owner]
        container = self.containers[(node.index, frame.parent.iteration)]
        assert isinstance(container, Parallel)
        return frame.parent, node, container, node.bodies.index(frame.graph.index)

    def _branch_closed(self, frame: Frame, outcome: Outcome) -> None:
        parent, node, parallel, number = self._parallel_of(frame)
        del self.frames[frame.key]
        if parallel.close_branch(number, outcome.output, frame.variables):
            self._stop_branches(parent, node, parallel)
        self._check_container(parent, node)

    def _branch_failed(self, frame: Frame) -> None:
        parent, node, parallel, number = self._parallel_of(frame)
        del self.frames[frame.key]
        if frame.failure is None or frame.cancelling:
            parallel.running.remove(number)
        elif parallel.fail_branch(number, frame.failure, frame.failure_node):
            self._stop_branches(parent, node, parallel)
        self._check_container(parent, node)

    def _stop_branches(self, frame: Frame, node: PlanNode, parallel: Parallel) -> None:
        for number in list(parallel.running):
            branch = self.frames.get((node.bodies[number], frame.iteration))
            if branch is not None:
                self.cancel(branch)

    def _parallel_timed_out(self, frame: Frame, node: PlanNode) -> None:
        parallel = self.containers[(node.index, frame.iteration)]
        assert isinstance(parallel, Parallel)
        parallel.time_out(float(parallel.opened["timeout_s"]))
        self._stop_branches(frame, node, parallel)
        self._check_container(frame, node)

    # ---- the end of containers and frames

    def _check_container(self, frame: Frame, node: PlanNode) -> None:
        """End the container if nothing in it runs and nothing more may start."""
        key = (node.index, frame.iteration)
        container = self.containers.get(key)
        if container is None or not container.finished or self._waits(container):
            return
        del self.containers[key]
        self._cancel_work(("timer:timeout", *key))
        state = frame.nodes[node.index]
        if container.stopped:
            outcome = Outcome("cancelled", attempts=state.attempts)
        elif container.failure is not None:
            outcome = failed(self._container_error(container), attempts=state.attempts)
        else:
            merged = container.variables if isinstance(container, Loop) else container.merged_variables()
            outcome = Outcome("success", output=container.output(), attempts=state.attempts, assigned=dict(merged))
        outcome.finished_at = self.now
        self._after_opened(frame, node, outcome)

    def _waits(self, container: Container) -> bool:
        return isinstance(container, Loop) and container.startable() is not None

    def _container_error(self, container: Container) -> dict[str, Any]:
        """The inner error, with the node it came from and the iterations that had finished."""
        error = dict(container.failure or {})
        details: dict[str, Any] = dict(error.get("details") or {})
        if container.failure_path:
            details.setdefault("node", container.failure_path)
        if isinstance(container, Loop):
            details["finished"] = sorted(container.results)[:1000]
        error["details"] = details
        return error

    def _check(self, frame: Frame) -> None:
        """End the frame when all of it has settled, or, when it stops, when nothing in it runs."""
        if frame.closing or self.frames.get(frame.key) is not frame:
            return
        if frame.stopping:
            if frame.active == 0:
                self._cancel_unstarted(frame)
                self._frame_ended(frame)
        elif frame.unsettled == 0:
            self._frame_ended(frame)

    def _cancel_unstarted(self, frame: Frame) -> None:
        for index, state in frame.nodes.items():
            if not state.settled:
                self._settle(frame, index, "cancelled", None)

    def _frame_ended(self, frame: Frame) -> None:
        frame.closing = True
        if frame.graph.owner is None or frame.parent is None:
            self.root_ended(frame)
        elif frame.stopping:
            self._body_failed(frame)
        elif frame.graph.closes:
            self._issue("pass", frame.graph.index, frame.iteration, frame.generation)
        else:
            output = leaf_outputs(frame, self.plan.leaves(frame.graph))
            self._body_closed(frame, Outcome("success", output=output))

    def _pass_done(self, work: Work, outcome: Outcome) -> None:
        frame = self.frames[(work.subject, work.iteration)]
        if outcome.status == "success" and not frame.stopping:
            self._body_closed(frame, outcome)
            return
        if outcome.status == "failed":
            frame.failure, frame.failure_node = outcome.error, ""
        else:
            frame.cancelling = True
        self._body_failed(frame)

    def _body_closed(self, frame: Frame, outcome: Outcome) -> None:
        owner = self.plan.nodes[frame.graph.owner or 0]
        (self._pass_closed if owner.kind == "loop" else self._branch_closed)(frame, outcome)

    def _body_failed(self, frame: Frame) -> None:
        owner = self.plan.nodes[frame.graph.owner or 0]
        (self._pass_failed if owner.kind == "loop" else self._branch_failed)(frame)

    # ---- stopping

    def _stop(self, frame: Frame) -> None:
        """Take back what has not started and cancel what runs."""
        if frame.closing:
            self._cancel_work(("pass", *frame.key))
        for index, state in list(frame.nodes.items()):
            if state.status in ("queued", "running", "retrying", "waiting", "closing"):
                self._cancel_node(frame, index)

    def _cancel_node(self, frame: Frame, index: int) -> None:
        state = frame.nodes[index]
        container = self.containers.get((index, frame.iteration))
        if container is not None:
            container.stopped = True
            node = self.plan.nodes[index]
            self._cancel_work(("timer:timeout", index, frame.iteration))
            if isinstance(container, Loop):
                self._stop_passes(frame, node, container, above=-1)
            else:
                self._stop_branches(frame, node, container)
            self._check_container(frame, node)
            return
        waits = False
        for key in self._keys_of(index, frame.iteration):
            waits = self._cancel_work(key) or waits
        if not waits and not state.settled:
            self._unstart(frame, index)

    def _unstart(self, frame: Frame, index: int) -> None:
        state = frame.nodes[index]
        if state.status == "queued" and state.attempts == 0:
            frame.active -= 1
            state.status = "pending"
        else:
            state.finished_at, state.output, state.assigned = self.now, NULL, None
            state.error = error_dict(CANCELLED, "cancelled while it waited")
            self._settle(frame, index, "cancelled", None)

    def _cancel_work(self, key: WorkKey) -> bool:
        """Cancel a piece of work; True if its outcome must still be awaited."""
        work = self.works.get(key)
        if work is None:
            return False
        if work.kind == "timer":
            del self.works[key]
            self._cancels.append(key)
            return False
        if work.started:
            self._cancels.append(key)
            return True
        del self.works[key]
        if work.kind == "shard":
            loop = self.containers[(work.subject, work.iteration)]
            loop.running.remove(work.low)
        elif work.kind == "pass":
            frame = self.frames[(work.subject, work.iteration)]
            frame.cancelling = True
            self._body_failed(frame)
        return False

    def _keys_of(self, index: int, iteration: Iteration) -> list[WorkKey]:
        kinds = ("node", "open", "assign", "child", "timer:retry", "timer:delay", "timer:timeout")
        return [(kind, index, iteration) for kind in kinds if (kind, index, iteration) in self.works]

    def _drop_works(self, index: int, iteration: Iteration) -> None:
        for key in self._keys_of(index, iteration):
            del self.works[key]

    def _is_started(self, frame: Frame, node: PlanNode) -> bool:
        return any(self.works[key].started for key in self._keys_of(node.index, frame.iteration))

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
}
