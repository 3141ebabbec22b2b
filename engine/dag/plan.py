"""Plan: the compiled topology of a document, all that the interpreter needs to drive it.

A plan holds no parameters and no values. It travels in the input of the Temporal workflow, so its wire form is
compact (lists in a fixed order), only ever added to at the end, and read by position.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Literal

from engine.dag.retry import RetryPolicy

NodeKind = Literal["trigger", "local", "io", "delay", "approval", "workflow", "loop", "parallel"]
Final = Literal["fail", "continue", "skip"]
MAIN = 0
HANDLERS = 1


@dataclass(slots=True)
class Uses:
    """What the templates of a node, or of a pass, name."""

    nodes: tuple[int, ...] = ()
    variables: tuple[str, ...] = ()
    names: tuple[str, ...] = ()

    def to_wire(self) -> list[Any]:
        return [list(self.nodes), list(self.variables), list(self.names)]

    @classmethod
    def from_wire(cls, wire: list[Any]) -> Uses:
        return cls(tuple(wire[0]), tuple(wire[1]), tuple(wire[2]))


@dataclass(slots=True)
class PlanNode:
    """A vertex. `index` is its place in `Plan.nodes`; `path` names it in rows, `outer.body.inner`."""

    index: int
    id: str
    path: str
    type: str
    name: str
    kind: NodeKind
    graph: int
    local: bool  # runs inside a region; a container is local if all its body is
    final: Final = "fail"
    retry: RetryPolicy | None = None
    join_any: bool = False
    default_port: str = "out"
    error_edge: bool = False
    timeout_s: float = 30.0
    queue: str | None = None
    reads_upstream: bool = False
    assigns: bool = False  # `assign` must be evaluated after a container, delay or child workflow has ended
    passive: bool = False  # a trigger that evaluates nothing: its output is what fired it
    fused: bool = False  # an I/O node that may run in a segment, together with others
    uses: Uses = field(default_factory=Uses)
    bodies: tuple[int, ...] = ()  # graphs of the body or the branches
    incoming: tuple[int, ...] = ()  # edge numbers inside its graph
    outgoing: tuple[int, ...] = ()


@dataclass(slots=True)
class PlanGraph:
    """A graph of the document: main, handlers, a loop body or a branch."""

    index: int
    id: str  # "" for main, "handlers", "body" or the branch id
    owner: int | None  # the container's node index
    nodes: tuple[int, ...] = ()  # document order
    edges: tuple[tuple[int, str, int], ...] = ()  # source node, source port, target node
    closes: bool = False  # its end needs evaluation: outputs, break_condition, condition
    named: bool = False  # it names outputs; otherwise its leaves are its result
    uses: Uses = field(default_factory=Uses)  # of that evaluation


@dataclass(slots=True)
class Plan:
    """A whole document, compiled."""

    nodes: list[PlanNode]
    graphs: list[PlanGraph]
    variables: dict[str, Any]
    max_parallel_nodes: int = 50
    timeout_s: float | None = None
    retry: RetryPolicy | None = None
    retry_from: Literal["failed", "start"] = "failed"
    levels: list[list[str]] = field(default_factory=list)
    by_path: dict[str, PlanNode] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.by_path = {node.path: node for node in self.nodes}

    @property
    def main(self) -> PlanGraph:
        return self.graphs[MAIN]

    @property
    def handlers(self) -> PlanGraph:
        return self.graphs[HANDLERS]

    def triggers(self) -> list[PlanNode]:
        return [self.nodes[i] for i in self.main.nodes if self.nodes[i].kind == "trigger"]

    def inside(self, node: PlanNode) -> list[PlanNode]:
        """All nodes below a container, in document order."""
        found: list[PlanNode] = []
        for body in node.bodies:
            for index in self.graphs[body].nodes:
                found.append(self.nodes[index])
                found.extend(self.inside(self.nodes[index]))
        return found

    def leaves(self, graph: PlanGraph) -> list[PlanNode]:
        """Nodes without outgoing edges, whose outputs are the graph's result if it names none."""
        return [self.nodes[index] for index in graph.nodes if not self.nodes[index].outgoing]

    def varied(self, index: int, **changes: Any) -> Plan:
        """A plan that differs in one node; executions share plans, so none is ever changed itself."""
        nodes = [*self.nodes]
        nodes[index] = replace(nodes[index], **changes)
        return replace(self, nodes=nodes)

    def to_wire(self) -> dict[str, Any]:
        return {
            "f": 1,
            "n": [_node_to_wire(node) for node in self.nodes],
            "g": [_graph_to_wire(graph) for graph in self.graphs],
            "v": self.variables,
            "p": self.max_parallel_nodes,
            "t": self.timeout_s,
            "r": self.retry.to_wire() if self.retry else None,
            "rf": self.retry_from,
        }

    @classmethod
    def from_wire(cls, wire: dict[str, Any]) -> Plan:
        nodes = [_node_from_wire(index, row) for index, row in enumerate(wire["n"])]
        graphs = [_graph_from_wire(index, row) for index, row in enumerate(wire["g"])]
        for graph in graphs:
            connect(graph, nodes)
        return cls(
            nodes=nodes,
            graphs=graphs,
            variables=wire["v"],
            max_parallel_nodes=wire["p"],
            timeout_s=wire["t"],
            retry=RetryPolicy.from_wire(wire["r"]) if wire["r"] else None,
            retry_from=wire["rf"],
        )


def connect(graph: PlanGraph, nodes: list[PlanNode]) -> None:
    """Give each node of the graph its edge numbers."""
    incoming: dict[int, list[int]] = {index: [] for index in graph.nodes}
    outgoing: dict[int, list[int]] = {index: [] for index in graph.nodes}
    for number, (source, port, target) in enumerate(graph.edges):
        outgoing[source].append(number)
        incoming[target].append(number)
        if port == "error":
            nodes[source].error_edge = True
    for index in graph.nodes:
        nodes[index].incoming = tuple(incoming[index])
        nodes[index].outgoing = tuple(outgoing[index])
        nodes[index].graph = graph.index


def _node_to_wire(node: PlanNode) -> list[Any]:
    return [
        node.id,
        node.path,
        node.type,
        node.name if node.name != node.id else 0,
        node.kind,
        _flags(node),
        node.final,
        node.retry.to_wire() if node.retry else 0,
        node.default_port,
        node.timeout_s,
        node.queue or 0,
        node.uses.to_wire(),
        list(node.bodies),
    ]


def _flags(node: PlanNode) -> int:
    flags = (node.local, node.join_any, node.reads_upstream, node.assigns, node.passive, node.fused)
    return sum(1 << bit for bit, flag in enumerate(flags) if flag)


def _node_from_wire(index: int, row: list[Any]) -> PlanNode:
    return PlanNode(
        index=index,
        id=row[0],
        path=row[1],
        type=row[2],
        name=row[3] or row[0],
        kind=row[4],
        graph=MAIN,
        local=bool(row[5] & 1),
        join_any=bool(row[5] & 2),
        reads_upstream=bool(row[5] & 4),
        assigns=bool(row[5] & 8),
        passive=bool(row[5] & 16),
        fused=bool(row[5] & 32),
        final=row[6],
        retry=RetryPolicy.from_wire(row[7]) if row[7] else None,
        default_port=row[8],
        timeout_s=row[9],
        queue=row[10] or None,
        uses=Uses.from_wire(row[11]),
        bodies=tuple(row[12]),
    )


def _graph_to_wire(graph: PlanGraph) -> list[Any]:
    edges = [[source, 0 if port == "out" else port, target] for source, port, target in graph.edges]
    flags = int(graph.closes) | int(graph.named) << 1
    return [graph.id, graph.owner, list(graph.nodes), edges, flags, graph.uses.to_wire()]


def _graph_from_wire(index: int, row: list[Any]) -> PlanGraph:
    return PlanGraph(
        index=index,
        id=row[0],
        owner=row[1],
        nodes=tuple(row[2]),
        edges=tuple((edge[0], edge[1] or "out", edge[2]) for edge in row[3]),
        closes=bool(row[4] & 1),
        named=bool(row[4] & 2),
        uses=Uses.from_wire(row[5]),
    )
