"""Slices: the part of a run that a region needs, and the run that a region makes of it.

A slice is a frame cut down to the local nodes that can be reached from the ready ones, with the values that they
refer to. The same code drives it, so a region and the interpreter can never disagree on what follows. The slice of a
segment reaches through fused I/O nodes too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.dag.frame import Frame, FrameKey, NodeState
from engine.dag.outcome import Outcome
from engine.dag.plan import Plan, PlanNode, Uses
from engine.dag.scope import frame_scope, needs_upstream, view_of
from engine.dag.snapshot import restore_container
from engine.dag.state import Run, Settled
from engine.dag.values import NULL
from engine.dag.work import Work

NodeKey = tuple[int, tuple[int, ...]]
Held = Mapping[NodeKey, object]  # nodes that slices under way have


def cut(run: Run, works: list[Work], held: Held | None = None) -> list[dict[str, Any]]:
    """Slices for ready works, one a frame, in the order of the works.

    With `held` they reach through fused I/O nodes too, and spare the nodes that are held.
    """
    frames: dict[FrameKey, tuple[Frame, list[Work]]] = {}
    for work in works:
        frame = run.frame_of(work)
        frames.setdefault(frame.key, (frame, []))[1].append(work)
    return [_cut_frame(run, frame, own, held) for frame, own in frames.values()]


def _cut_frame(run: Run, frame: Frame, works: list[Work], held: Held | None) -> dict[str, Any]:
    plan = run.plan
    ready = {work.subject: work for work in works if work.kind not in ("pass", "outputs")}
    reached = _reach(run, frame, list(ready), held)
    closing = any(work.kind in ("pass", "outputs") for work in works)
    closes = closing or _covers(frame, reached)
    nodes, uses = _nodes_of(plan, frame, reached, ready), _all_uses(plan, frame, reached, closes=closes)
    views = _views(run, frame, reached, uses)
    outside = Uses(tuple(index for index in uses.nodes if index not in reached), uses.variables, uses.names)
    scope = frame_scope(run, frame, Uses((), outside.variables, outside.names))
    cut_frame: dict[str, Any] = {
        "g": frame.graph.index,
        "it": list(frame.iteration),
        "gen": frame.generation,
        "n": nodes,
        "s": scope,
        "o": views,
        "u": frame.upstream,
    }
    if frame.failure is not None:
        cut_frame["f"] = frame.failure
    if closes:
        cut_frame["w"] = 1
        if frame.graph.closes:
            cut_frame["c"] = 2 if closing else 1
    if held is not None and (outside := _outside(run, frame, reached)):
        cut_frame["x"] = outside
    return cut_frame


def _outside(run: Run, frame: Frame, reached: list[int]) -> list[list[Any]]:
    """Nodes behind the slice that wait for it: [node, pending edges, whether one is live]."""
    inside, found = set(reached), dict[int, None]()
    for index in reached:
        targets = [frame.graph.edges[number][2] for number in run.plan.nodes[index].outgoing]
        found.update({target: None for target in targets if target not in inside and target in frame.nodes})
    states = {index: frame.nodes[index] for index in found}
    return [[index, one.pending, bool(one.live)] for index, one in states.items() if one.status == "pending"]


def cut_container(run: Run, frame: Frame, node: PlanNode) -> dict[str, Any]:
    """The slice of one container alone, with everything that its body refers to, for a shard."""
    reached = [node.index]
    uses = _all_uses(run.plan, frame, reached, closes=False)
    return {
        "g": frame.graph.index,
        "it": list(frame.iteration),
        "gen": frame.generation,
        "n": _nodes_of(run.plan, frame, reached, {}),
        "s": frame_scope(run, frame, Uses((), uses.variables, uses.names)),
        "o": _views(run, frame, reached, uses),
        "u": frame.upstream,
    }


def _reach(run: Run, frame: Frame, start: list[int], held: Held | None) -> list[int]:
    """The ready nodes and every pending node behind them that may enter, in the order they are found."""
    found = list(start)
    known = set(start)
    for index in found:
        if not _is_driven(run.plan.nodes[index], held):
            continue  # what follows it is not for this region
        for number in run.plan.nodes[index].outgoing:
            target = frame.graph.edges[number][2]
            if target not in known and _may_enter(run, frame, target, known, held):
                known.add(target)
                found.append(target)
    return found


def _is_driven(node: PlanNode, held: Held | None) -> bool:
    return node.local or (held is not None and node.fused)


def _is_joined(run: Run, frame: Frame, node: PlanNode, known: set[int], held: Held) -> bool:
    """Whether a node that starts on its first live edge can get one from the slice alone.

    Otherwise the interpreter and the segment could start it on different edges.
    """
    if not node.join_any:
        return True
    sources = [frame.graph.edges[number][0] for number in node.incoming]
    open_ones = [index for index in sources if not frame.nodes[index].settled]
    return all(index in known and _is_driven(run.plan.nodes[index], held) for index in open_ones)


def _may_enter(run: Run, frame: Frame, index: int, known: set[int], held: Held | None) -> bool:
    node, state = run.plan.nodes[index], frame.nodes.get(index)
    if state is None or state.status != "pending" or state.override is not None or not _is_driven(node, held):
        return False
    if held is not None and ((index, frame.iteration) in held or not _is_joined(run, frame, node, known, held)):
        return False
    return not (node.bodies and run.regenerate and frame.parent is None)  # its generation is not given out yet


def _covers(frame: Frame, reached: list[int]) -> bool:
    """Whether nothing else of the frame is unsettled, so that its end can be evaluated in the region too."""
    return frame.unsettled == len(reached) and not frame.stopping


def _nodes_of(plan: Plan, frame: Frame, reached: list[int], ready: dict[int, Work]) -> list[list[Any]]:
    rows: list[list[Any]] = []
    for index in reached:
        state, work = frame.nodes[index], ready.get(index)
        row: list[Any] = [index, state.pending, state.live]
        if work is not None:
            row += [work.kind, work.generation, state.checkpoint or 0]
            if work.kind == "assign":
                row += [state.output, state.before]
        rows.append(row)
    return rows


def _all_uses(plan: Plan, frame: Frame, reached: list[int], *, closes: bool) -> Uses:
    nodes: dict[int, None] = {}
    variables: dict[str, None] = {}
    names: dict[str, None] = {}

    def add(uses: Uses) -> None:
        nodes.update(dict.fromkeys(uses.nodes))
        variables.update(dict.fromkeys(uses.variables))
        names.update(dict.fromkeys(uses.names))

    for index in reached:
        node = plan.nodes[index]
        add(node.uses)
        for inner in plan.inside(node) if node.bodies else ():
            add(inner.uses)
        for graph in _graphs_inside(plan, node):
            add(plan.graphs[graph].uses)
    if closes:
        add(frame.graph.uses)
        if not frame.graph.named:
            nodes.update(dict.fromkeys(leaf.index for leaf in plan.leaves(frame.graph)))
    return Uses(tuple(nodes), tuple(variables), tuple(names))


def _graphs_inside(plan: Plan, node: PlanNode) -> list[int]:
    found: list[int] = []
    for body in node.bodies:
        found.append(body)
        for index in plan.graphs[body].nodes:
            found.extend(_graphs_inside(plan, plan.nodes[index]))
    return found


def _views(run: Run, frame: Frame, reached: list[int], uses: Uses) -> dict[str, Any]:
    """Views of the nodes outside the slice that it reads: by name, or through a live edge that has settled."""
    inside = set(reached)
    wanted = dict.fromkeys(index for index in uses.nodes if index not in inside and not _is_within(run, index, inside))
    for index in reached:
        node = run.plan.nodes[index]
        if needs_upstream(node) or node.bodies:
            wanted.update(dict.fromkeys(frame.graph.edges[number][0] for number in frame.nodes[index].live))
    return {str(index): view_of(run, frame, index) for index in wanted}


def _is_within(run: Run, index: int, inside: set[int]) -> bool:
    """Whether the node stands in the body of a container of the slice."""
    owner = run.plan.graphs[run.plan.nodes[index].graph].owner
    while owner is not None:
        if owner in inside:
            return True
        owner = run.plan.graphs[run.plan.nodes[owner].graph].owner
    return False


def hands_back(node: PlanNode, outcome: Outcome) -> bool:
    """Whether a region leaves the node to the interpreter: it failed and its policy may try it again."""
    return outcome.status == "left" or (outcome.status == "failed" and node.retry is not None)


class Slice:
    """A slice as a run of its own, inside a region."""

    def __init__(
        self,
        plan: Plan,
        wire: dict[str, Any],
        now: float,
        checkpoints: dict[int, dict[str, Any]] | None = None,
        *,
        expand_local: bool = True,
        shard_passes: int = 0,
    ) -> None:
        self.checkpoints = checkpoints or {}  # of containers that an earlier region left half way
        self.run = Run(plan, expand_local=expand_local, hand_back=True, shard_passes=shard_passes)
        self.run.now = now
        self.frame = Frame(plan.graphs[wire["g"]], tuple(wire["it"]), wire["gen"], None)
        self.closes = int(wire.get("c", 0))
        self.outside = {row[0]: (row[1], row[2]) for row in wire.get("x", ())}  # pending edges, whether one is live
        self.run.outer = {int(index): view for index, view in wire["o"].items()}
        self.run.generation = wire["gen"]
        self.run.frames[self.frame.key] = self.frame
        self.run.root_ended = self._root_ended
        self._fill(wire)

    def _fill(self, wire: dict[str, Any]) -> None:
        frame, scope = self.frame, wire["s"]
        frame.variables = dict(scope.get("v", {}))
        frame.item, frame.index, frame.last = scope.get("t"), scope.get("x"), scope.get("l")
        frame.upstream = wire.get("u", NULL)
        frame.failure = wire.get("f")  # of an item whose break_condition is still to be evaluated
        self.run.input = scope.get("i", NULL)
        self.run.error = scope.get("e")
        for row in wire["n"]:
            state = NodeState(row[1])
            state.live = list(row[2])
            frame.nodes[row[0]] = state
        frame.unsettled = len(frame.nodes)
        self._wire = wire

    def begin(self) -> None:
        """Start the nodes that were ready."""
        for row in self._wire["n"]:
            if len(row) > 3:
                self._begin_node(row)
        if self.closes == 2:
            self._close()

    def _begin_node(self, row: list[Any]) -> None:
        index, kind, generation = row[0], row[3], row[4]
        state = self.frame.nodes[index]
        state.generation = generation
        state.checkpoint = row[5] or None
        state.before = row[7] if len(row) > 7 else None
        self.run.generation = max(self.run.generation, generation)
        if state.checkpoint is not None:
            restore_container(self.run, self.frame, self.run.plan.nodes[index], self.checkpoints[index])
        elif kind == "node":
            self.run.start_node(self.frame, self.run.plan.nodes[index])
        else:
            self.run.start_part(self.frame, self.run.plan.nodes[index], kind, row[6] if len(row) > 6 else NULL)

    def readies_outside(self, settled: Settled) -> bool:
        """Note that a node of this slice has settled; whether a node behind the slice is ready with that."""
        ready = False
        for number in settled.node.outgoing:
            _, port, target = self.frame.graph.edges[number]
            if target in self.outside:
                pending, live = self.outside[target]
                pending, live = pending - 1, live or port == settled.state.port
                self.outside[target] = (pending, live)
                ready = ready or (live and (pending == 0 or self.run.plan.nodes[target].join_any))
        return ready

    def _root_ended(self, frame: Frame) -> None:
        if self.closes and not frame.stopping:
            self._close()

    def _close(self) -> None:
        kind = "outputs" if self.frame.graph.owner is None else "pass"
        self.closes = 0
        self.run.issue_closing(kind, self.frame)
