"""Readiness: which nodes become ready as others settle, and what they receive."""

from __future__ import annotations

from abc import ABC, abstractmethod

from engine.dag.frame import Frame, NodeState
from engine.dag.machine.works import Settled, Works
from engine.dag.plan import MAIN, PlanNode
from engine.dag.values import NULL, Value, mapping
from engine.dag.work import Iteration, WorkKind

OPENED_KINDS = ("loop", "parallel", "delay", "approval", "workflow")
COMPOUND_KINDS = ("loop", "parallel", "workflow")  # each run of theirs has a generation, their retries are ours


class Readiness(Works, ABC):
    """Frames, edges, and nodes that start and settle."""

    # ---- what the layers above add

    @abstractmethod
    def _check(self, frame: Frame) -> None:
        """End the frame if nothing in it runs and nothing more may start."""

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
        fresh = node.kind in COMPOUND_KINDS and frame.parent is None and self.regenerate
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
        if node.kind not in OPENED_KINDS or (node.local and not self.expand_local):
            return "node"
        return "open"

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
