"""Frame: the state of one run of one graph (the main graph, handlers, a pass of a loop, a branch)."""

from __future__ import annotations

from typing import Any

from engine.dag.plan import PlanGraph, PlanNode
from engine.dag.values import NULL, Value, inline, mapping
from engine.dag.work import Iteration

FrameKey = tuple[int, Iteration]


class NodeState:
    """The state of a node in a frame. `pending` counts unsettled incoming edges, `live` are edge numbers."""

    __slots__ = (
        "assigned",
        "attempts",
        "before",
        "checkpoint",
        "data",
        "deadline",
        "error",
        "finished_at",
        "generation",
        "live",
        "opened",
        "output",
        "override",
        "pending",
        "port",
        "reason",
        "started_at",
        "status",
    )

    def __init__(self, pending: int) -> None:
        self.status = "pending"
        self.pending = pending
        self.live: list[int] = []
        self.reason: str | None = None
        self.output: Value = NULL
        self.port: str | None = None
        self.data: Value | None = None
        self.error: dict[str, Any] | None = None
        self.attempts = 0
        self.assigned: dict[str, Value] | None = None
        self.started_at = 0.0
        self.finished_at = 0.0
        self.generation = 0
        self.opened: dict[str, Any] | None = None
        self.checkpoint: Value | None = None
        self.override: Value | None = None
        self.deadline = 0.0
        self.before: dict[str, Value] | None = None  # variables as they were at its start, for a later `assign`

    @property
    def settled(self) -> bool:
        return self.status in ("success", "failed", "skipped", "pruned", "cancelled")

    @property
    def port_data(self) -> Value:
        """What the emitted port carries."""
        return self.output if self.data is None else self.data

    def view(self) -> list[Any]:
        """What expressions may see of the node: status, output, port, data, error; trailing empties dropped."""
        row: list[Any] = [self.status, self.output, self.port or 0, self.data or 0, self.error or 0]
        while row[-1] == 0:
            row.pop()
        return row

    def to_wire(self) -> list[Any]:
        row: list[Any] = [
            self.status,
            self.pending,
            self.live,
            self.reason or 0,
            0 if self.output is NULL else self.output,
            self.port or 0,
            self.data or 0,
            self.error or 0,
            self.attempts,
            self.assigned or 0,
            self.started_at,
            self.finished_at,
            self.generation,
            self.opened or 0,
            self.checkpoint or 0,
            self.override or 0,
            self.deadline,
            self.before or 0,
        ]
        while not row[-1]:
            row.pop()
        return row

    @classmethod
    def from_wire(cls, row: list[Any]) -> NodeState:
        row = row + [0] * (18 - len(row))
        state = cls(row[1])
        state.status = row[0]
        state.live = row[2] or []
        state.reason = row[3] or None
        state.output = row[4] or NULL
        state.port = row[5] or None
        state.data = row[6] or None
        state.error = row[7] or None
        state.attempts = row[8]
        state.assigned = row[9] or None
        state.started_at = row[10]
        state.finished_at = row[11]
        state.generation = row[12]
        state.opened = row[13] or None
        state.checkpoint = row[14] or None
        state.override = row[15] or None
        state.deadline = row[16]
        state.before = row[17] or None
        return state


class Frame:
    """One run of a graph, or of a slice of it: edges to nodes that are not here are ignored."""

    __slots__ = (
        "active",
        "cancelling",
        "closing",
        "failure",
        "failure_node",
        "generation",
        "graph",
        "index",
        "item",
        "iteration",
        "last",
        "nodes",
        "order",
        "parent",
        "unsettled",
        "upstream",
        "variables",
    )

    def __init__(self, graph: PlanGraph, iteration: Iteration, generation: int, parent: Frame | None) -> None:
        self.graph = graph
        self.iteration = iteration
        self.generation = generation
        self.parent = parent
        self.nodes: dict[int, NodeState] = {}
        self.variables: dict[str, Value] = {}  # what was assigned in here, over the parent's
        self.item: Value | None = None
        self.index: int | None = None
        self.upstream: Value = NULL  # what its entry nodes receive
        self.last: Value | None = None
        self.failure: dict[str, Any] | None = None
        self.failure_node = ""
        self.cancelling = False
        self.closing = False
        self.unsettled = 0
        self.active = 0  # nodes started and not settled
        self.order: list[int] = []  # settled nodes in the order they settled

    @property
    def key(self) -> FrameKey:
        return (self.graph.index, self.iteration)

    @property
    def stopping(self) -> bool:
        return self.failure is not None or self.cancelling

    @property
    def failed_result(self) -> Value:
        """What stands in the place of the result of a pass that failed, where the loop goes on over failures."""
        return inline({"error": self.failure})

    def fill(self, nodes: list[PlanNode]) -> None:
        """Give every node of the graph its state."""
        for index in self.graph.nodes:
            self.nodes[index] = NodeState(len(nodes[index].incoming))
        self.unsettled = len(self.nodes)

    def visible_variables(self) -> dict[str, Value]:
        """Variables as a node started now would see them."""
        if self.parent is None:
            return self.variables
        return {**self.parent.visible_variables(), **self.variables}


def leaf_outputs(frame: Frame, leaves: list[PlanNode]) -> Value:
    """The result of a graph that names no outputs: by id, the outputs of its leaves that emitted a port."""
    members: dict[str, Value] = {}
    for node in leaves:
        state = frame.nodes[node.index]
        if state.port is not None:
            members[node.id] = state.output
    return mapping(members)
