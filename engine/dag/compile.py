"""Compile a valid document into a plan: flatten the graphs, settle the policies, note what refers to what."""

from __future__ import annotations

from typing import Any, cast

from engine.dag.bodies import bodies
from engine.dag.catalogue import NodeCatalogue, NodeTypeInfo
from engine.dag.plan import HANDLERS, MAIN, Final, NodeKind, Plan, PlanGraph, PlanNode, Uses, connect
from engine.dag.references import ReferenceParser, References
from engine.dag.retry import RetryPolicy
from engine.dag.spec import BodySpec, EdgeSpec, GraphSpec, NodeSpec, Retry, WorkflowSpec

BODY_PARAMS = ("body", "branches")
PASS_PARAMS = ("condition", "break_condition")
PASS_UPSTREAM = ("condition", "switch")  # their port carries what they received, so it must be at hand
MAX_FUSED_TIMEOUT_S = 60.0  # a longer node would hold up what waits for the end of its segment
_EXTRA_NAMES = ("item", "index", "last", "error")


def compile_plan(spec: WorkflowSpec, catalogue: NodeCatalogue, parser: ReferenceParser) -> Plan:
    """The plan of a document that `validate` found no error in.

    Raises: KeyError if it was not validated and names what is not there.
    """
    return _Compiler(spec, catalogue, parser).plan()


def node_specs(spec: WorkflowSpec) -> list[NodeSpec]:
    """Every node of a document in the order of `Plan.nodes`."""
    found: list[NodeSpec] = []

    def add(graph: GraphSpec) -> None:
        for node in graph.nodes:
            found.append(node)
            for _, _, body in bodies(node):
                add(body)

    add(spec.graph)
    add(spec.handlers)
    return found


def graph_outputs(spec: WorkflowSpec) -> list[tuple[Any, NodeSpec | None]]:
    """Outputs of every graph, with the container it belongs to, in the order of `Plan.graphs`."""
    found: list[tuple[Any, NodeSpec | None]] = [(spec.outputs, None), (None, None)]

    def add(graph: GraphSpec) -> None:
        for node in graph.nodes:
            for _, _, body in bodies(node):
                found.append((body.outputs, node))
                add(body)

    add(spec.graph)
    add(spec.handlers)
    return found


class _Compiler:
    def __init__(self, spec: WorkflowSpec, catalogue: NodeCatalogue, parser: ReferenceParser) -> None:
        self._spec = spec
        self._catalogue = catalogue
        self._parser = parser
        self._nodes: list[PlanNode] = []
        self._graphs: list[PlanGraph] = []
        self._specs: list[NodeSpec] = []
        self._outputs: dict[int, tuple[Any, NodeSpec | None]] = {}  # graph: its outputs and its container

    def plan(self) -> Plan:
        spec = self._spec
        self._graphs = [PlanGraph(MAIN, "", None), PlanGraph(HANDLERS, "handlers", None)]
        self._outputs[MAIN] = (spec.outputs, None)
        self._fill_graph(self._graphs[MAIN], spec.graph, "")
        self._fill_graph(self._graphs[HANDLERS], spec.handlers, "")
        self._note_uses()
        for node in reversed(self._nodes):  # inner ones stand behind their container
            node.local = self._is_local(node)
            node.fused = self._is_fused(node)
        settings = spec.settings
        plan = Plan(
            nodes=self._nodes,
            graphs=self._graphs,
            variables={name: variable.default for name, variable in spec.variables.items()},
            max_parallel_nodes=settings.max_parallel_nodes,
            timeout_s=settings.timeout.total_seconds() if settings.timeout else None,
            retry=RetryPolicy.from_spec(settings.retry) if settings.retry else None,
            retry_from=settings.retry.resume_from if settings.retry else "failed",
        )
        plan.levels = _levels(plan)
        return plan

    # ---- graphs and nodes

    def _fill_graph(self, compiled: PlanGraph, graph: GraphSpec, prefix: str) -> None:
        """Add the nodes and edges of a graph, with all that is nested in it."""
        by_id: dict[str, int] = {}
        with_error_edge = {edge.source for edge in graph.edges if edge.source_port == "error"}
        for node in graph.nodes:
            error_edge = node.id in with_error_edge
            by_id[node.id] = self._add_node(node, compiled.index, prefix, error_edge=error_edge)
        compiled.nodes = tuple(by_id.values())
        compiled.edges = tuple(_edge(edge, by_id) for edge in graph.edges)
        connect(compiled, self._nodes)

    def _add_node(self, node: NodeSpec, graph_index: int, prefix: str, *, error_edge: bool) -> int:
        info = self._catalogue.get(node.type)
        if info is None:
            raise KeyError(node.type)
        index = len(self._nodes)
        final, retry = self._policy(node, error_edge=error_edge)
        path = prefix + node.id
        plan_node = PlanNode(
            index=index,
            id=node.id,
            path=path,
            type=node.type,
            name=node.name or node.id,
            kind=_kind(info),
            graph=graph_index,
            local=False,
            final=final,
            retry=retry,
            join_any=node.join == "any",
            default_port=info.default_port_for(node.params),
            timeout_s=_timeout_s(node, info),
            queue=info.task_queue,
            reads_upstream=info.reads_upstream or info.type in PASS_UPSTREAM,
            assigns=bool(node.assign) and info.kind in ("durable", "container"),
            passive=info.kind == "trigger" and not (node.assign or node.inputs or node.when is not None),
        )
        self._nodes.append(plan_node)
        self._specs.append(node)
        plan_node.bodies = tuple(self._add_body(node, index, path, name, body) for _, name, body in bodies(node))
        return index

    def _add_body(self, node: NodeSpec, owner: int, path: str, name: str, body: BodySpec) -> int:
        graph = PlanGraph(len(self._graphs), name, owner)
        self._graphs.append(graph)
        self._outputs[graph.index] = (body.outputs, node)
        self._fill_graph(graph, body, f"{path}.{name}.")
        return graph.index

    def _policy(self, node: NodeSpec, *, error_edge: bool) -> tuple[Final, RetryPolicy | None]:
        """What follows a failure, and the retries before it (rules 12 and 13 of the design)."""
        chosen = node.on_error or ("retry" if node.retry else None) or ("continue" if error_edge else None)
        chosen = chosen or self._spec.settings.on_error
        if chosen != "retry":
            return chosen, None
        policy = RetryPolicy.from_spec(node.retry or Retry())
        return node.then or ("continue" if error_edge else "fail"), policy

    def _is_local(self, node: PlanNode) -> bool:
        if self._specs[node.index].isolate or node.queue:
            return False
        if node.kind in ("local", "trigger"):
            return True
        if node.kind not in ("loop", "parallel"):
            return False
        if node.kind == "parallel" and self._specs[node.index].params.get("timeout") is not None:
            return False  # a region has no timers
        inner = [self._nodes[index] for body in node.bodies for index in self._graphs[body].nodes]
        return all(member.local and member.retry is None for member in inner)

    def _is_fused(self, node: PlanNode) -> bool:
        """Whether an I/O node may share an activity with others: it is short, and nothing asks for one of its own."""
        if self._spec.settings.dispatch != "fused" or node.kind != "io" or node.timeout_s > MAX_FUSED_TIMEOUT_S:
            return False
        return not (self._specs[node.index].isolate or node.queue)

    # ---- references

    def _note_uses(self) -> None:
        ids = {node.id: node.index for node in self._nodes}
        for node, spec in zip(self._nodes, self._specs, strict=True):
            node.uses = self._uses(self._node_trees(node, spec), ids, own=node.index)
        for graph in self._graphs:
            outputs, container = self._outputs.get(graph.index, (None, None))
            trees: list[tuple[Any, bool]] = [(outputs, False)]
            if container is not None and container.type == "loop":
                trees += [(container.params.get(name), True) for name in PASS_PARAMS]
            graph.uses = self._uses(trees, ids)
            graph.named = outputs is not None
            graph.closes = any(tree is not None for tree, _ in trees) or (graph.owner is not None and not graph.nodes)

    def _node_trees(self, node: PlanNode, spec: NodeSpec) -> list[tuple[Any, bool]]:
        """JSON trees with templates, each with whether bare strings are expressions."""
        info = self._catalogue.get(spec.type)
        assert info is not None
        own = {name: value for name, value in spec.params.items() if name not in BODY_PARAMS or not node.bodies}
        expressions = [_at(own, path) for path in info.item_expression_paths(own)]
        return [(own, False), (expressions, True), (spec.when, False), (spec.inputs, False), (spec.assign, False)]

    def _uses(self, trees: list[tuple[Any, bool]], ids: dict[str, int], own: int | None = None) -> Uses:
        nodes: dict[int, None] = {}
        variables: dict[str, None] = {}
        names: dict[str, None] = {}
        for tree, expressions in trees:
            if tree is None or tree == {} or tree == []:
                continue
            found = self._references(tree, expressions=expressions)
            nodes.update(dict.fromkeys(ids[reference.id] for reference in found.nodes if reference.id in ids))
            variables.update(dict.fromkeys(found.variables))
            names.update(dict.fromkeys(found.names))
            if "vars" in found.names and not found.variables:
                variables.update(dict.fromkeys(self._spec.variables))
        nodes.pop(cast("int", own), None)
        return Uses(tuple(nodes), tuple(variables), tuple(sorted(names)))

    def _references(self, tree: Any, *, expressions: bool) -> References:
        return self._parser.parse(tree, "", extra_names=_EXTRA_NAMES, expressions=expressions)


def _edge(edge: EdgeSpec, by_id: dict[str, int]) -> tuple[int, str, int]:
    return by_id[edge.source], edge.source_port, by_id[edge.target]


def _kind(info: NodeTypeInfo) -> NodeKind:
    if info.kind in ("durable", "container"):
        return cast("NodeKind", info.type)
    return info.kind


def _timeout_s(node: NodeSpec, info: NodeTypeInfo) -> float:
    """The bound of one attempt: the node's `timeout`, else what the type gives for its parameters."""
    return node.timeout.total_seconds() if node.timeout is not None else info.timeout_s_for(node.params)


def _at(tree: Any, path: tuple[str | int, ...]) -> Any:
    for step in path:
        tree = tree[step]
    return tree


def _levels(plan: Plan) -> list[list[str]]:
    """Ids of the main graph by their longest distance from an entry, for display."""
    graph = plan.main
    level = dict.fromkeys(graph.nodes, 0)
    waiting = {index: len(plan.nodes[index].incoming) for index in graph.nodes}
    queue = [index for index in graph.nodes if not waiting[index]]
    for index in queue:
        for number in plan.nodes[index].outgoing:
            target = graph.edges[number][2]
            level[target] = max(level[target], level[index] + 1)
            waiting[target] -= 1
            if not waiting[target]:
                queue.append(target)
    levels: list[list[str]] = [[] for _ in range(max(level.values(), default=-1) + 1)]
    for index in graph.nodes:
        levels[level[index]].append(plan.nodes[index].id)
    return levels
