"""The parts that the reference interpreter keeps: one frame for each opened graph, one run for each node in it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from engine.dag.bodies import bodies
from engine.dag.spec import BodySpec, EdgeSpec, GraphSpec, NodeSpec, Retry, Settings
from tests.reference.evaluate import Error, default_port

Key = tuple[str, tuple[int, ...], int]
EdgeState = Literal["pending", "live", "dead"]
CONTAINERS = ("loop", "parallel")
GIVEN = ("error", "operator")  # reasons of a skip that leaves an output
UNSETTLED = ("pending", "running", "retrying")


@dataclass(frozen=True, slots=True)
class State:
    """What is known of one node execution in the end."""

    status: str
    output: Any
    error_code: str | None
    attempts: int


@dataclass(eq=False)
class Run:
    """One node in one frame, from its first start in an execution attempt to its outcome."""

    node: NodeSpec
    frame: Frame
    generation: int  # of a container: that of its latest run, and of all that is inside it
    status: str = "pending"
    output: Any = None
    error: Error | None = None
    port: str = "out"
    port_data: Any = None
    attempts: int = 0  # of this execution attempt
    tried: int = 0  # of a container: those that its own policy counts
    made: int = 0  # of all execution attempts, as whoever is called sees them by the idempotency key
    settled_at: int | None = None
    ready_at: int | None = None
    scope: dict[str, Any] = field(default_factory=dict[str, Any])  # as it was when the node started
    upstream: Any = None
    reason: str = ""  # of a skip: when | error | operator
    override: Any = None  # what a person has given it in place of an output of its own
    late: bool = False  # it became due while the execution was paused, so it has not begun
    # containers only
    opened: bool = False
    frames: list[Frame] = field(default_factory=list["Frame"])
    overlay: dict[str, Any] = field(default_factory=dict[str, Any])  # variables that a loop's ended passes have set
    items: list[Any] | None = None
    count: int | None = None
    more: bool = False  # while: the condition of the next pass holds
    broken_at: int | None = None
    failure: Error | None = None
    cancelled: bool = False
    gained: dict[str, Any] | None = None  # what its body set, while its own `assign` is due
    begun: bool = False  # its opening is under way: when it is cancelled meanwhile, it has run
    held: bool = False  # it runs as one piece of work, which is awaited when its graph stops

    @property
    def container(self) -> bool:
        return self.node.type in CONTAINERS

    @property
    def settled(self) -> bool:
        return self.status not in UNSETTLED

    @property
    def key(self) -> Key:
        generation = self.generation if self.container else self.frame.generation
        return (self.frame.prefix + self.node.id, self.frame.iteration, generation)

    def forget_passes(self) -> None:
        """Before a container runs again."""
        self.opened, self.more, self.cancelled, self.held = False, False, False, False
        self.begun = False
        self.frames, self.overlay = [], {}
        self.items, self.count, self.broken_at, self.failure, self.gained = None, None, None, None, None


@dataclass(eq=False)
class Frame:
    """One opened graph: main, handlers, a pass of a loop, a branch."""

    kind: Literal["main", "handlers", "pass", "branch"]
    nodes: list[NodeSpec]
    edges: list[EdgeSpec]
    outputs: Any
    prefix: str = ""
    iteration: tuple[int, ...] = ()
    generation: int = 0
    owner: Run | None = None
    id: str = ""  # of a branch
    names: dict[str, Any] = field(default_factory=dict[str, Any])
    entry: Any = None
    variables: dict[str, Any] = field(default_factory=dict[str, Any])  # set in this graph
    runs: dict[str, Run] = field(default_factory=dict[str, Run])
    state: Literal["open", "closing", "success", "failed", "cancelled"] = "open"
    failure: Error | None = None
    cancelled: bool = False
    scope: dict[str, Any] = field(default_factory=dict[str, Any])  # as it was when the last node had settled
    late: bool = False  # it came to its end while the execution was paused, which then is worked out later
    result: Any = None

    def __post_init__(self) -> None:
        for node in self.nodes:
            self.runs[node.id] = Run(node, self, self.generation)

    @property
    def stopping(self) -> bool:
        """Nothing new starts in it."""
        return self.failure is not None or self.cancelled

    @property
    def over(self) -> bool:
        return self.state in ("success", "failed", "cancelled")

    def edge_state(self, edge: EdgeSpec) -> EdgeState:
        source = self.runs[edge.source]
        if not source.settled:
            return "pending"
        return "live" if edge.source_port in self.live_ports(source) else "dead"

    def live_ports(self, run: Run) -> list[str]:
        """Ports whose edges are live after the run has settled."""
        if run.status == "success":
            return [run.port]
        if run.status == "skipped" and run.reason in GIVEN:
            return [default_port(run.node)]
        if run.status == "failed" and run.output is not None:  # handled: only then a failed node has an output
            return ["error"] if self.has_error_edge(run.node) else [default_port(run.node)]
        return []

    def has_error_edge(self, node: NodeSpec) -> bool:
        return any(edge.source == node.id and edge.source_port == "error" for edge in self.edges)

    def incoming(self, node: NodeSpec) -> list[EdgeSpec]:
        return [edge for edge in self.edges if edge.target == node.id]

    def data(self, edge: EdgeSpec) -> Any:
        source = self.runs[edge.source]
        return source.port_data if source.status == "success" else source.output

    def is_ready(self, node: NodeSpec) -> bool:
        states = [self.edge_state(edge) for edge in self.incoming(node)]
        if not states:
            return True
        if node.join == "any":
            return "live" in states
        return "pending" not in states and "live" in states

    def is_unreachable(self, node: NodeSpec) -> bool:
        states = [self.edge_state(edge) for edge in self.incoming(node)]
        return bool(states) and all(state == "dead" for state in states)

    def upstream(self, node: NodeSpec) -> Any:
        """DESIGN 2, rule 3; with `join: any` the first live edge alone counts (rule 6)."""
        live = [edge for edge in self.incoming(node) if self.edge_state(edge) == "live"]
        if not self.incoming(node):
            return self.entry
        if node.join == "any":
            live = [min(live, key=lambda edge: self.runs[edge.source].settled_at or 0)]
        if len(live) == 1:
            return self.data(live[0])
        return {edge.source: self.data(edge) for edge in live}

    def leaf_outputs(self) -> dict[str, Any]:
        """The result of a graph that names no outputs."""
        sources = [edge.source for edge in self.edges]
        leaves = [run for run in self.runs.values() if run.node.id not in sources]
        return {run.node.id: run.output for run in leaves if gives_output(run)}


def gives_output(run: Run) -> bool:
    handled = run.status == "failed" and run.output is not None
    return run.status == "success" or handled or (run.status == "skipped" and run.reason in GIVEN)


def body_of(node: NodeSpec) -> BodySpec:
    return bodies(node)[0][2]


def branches_of(node: NodeSpec) -> list[tuple[str, BodySpec]]:
    return [(name, graph) for _, name, graph in bodies(node)]


def plain_params(node: NodeSpec) -> dict[str, Any]:
    """A container's parameters without its graphs and without what is evaluated between the passes."""
    left_out = ("body", "branches", "condition", "break_condition")
    return {name: value for name, value in node.params.items() if name not in left_out}


def error_policy(node: NodeSpec, graph: GraphSpec | Frame, settings: Settings) -> tuple[Retry | None, str]:
    """`(retry, final)`: how often a failing node is tried, and what its last failure means: fail, continue, skip."""
    has_error_edge = any(edge.source == node.id and edge.source_port == "error" for edge in graph.edges)
    named = node.on_error
    if named is None and node.retry is not None:
        named = "retry"
    if named is None:
        named = "continue" if has_error_edge else settings.on_error
    if named != "retry":
        return None, named
    return node.retry or Retry(), node.then or ("continue" if has_error_edge else "fail")


def walk(frames: list[Frame]) -> Iterator[Frame]:
    """Frames and all that are open below them, outer before inner, in the order in which they were opened."""
    for frame in frames:
        yield frame
        for run in frame.runs.values():
            yield from walk(run.frames)
