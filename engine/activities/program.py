"""Program: a version's templates, compiled once a process, by the node and graph numbers of its plan."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any

from engine.dag.compile import graph_outputs, node_specs
from engine.dag.plan import Plan, PlanNode
from engine.dag.spec import NodeSpec, WorkflowSpec
from engine.errors import INVALID_CONFIG, NodeError
from engine.expressions import Expression, Template, compile_expression, compile_template
from engine.nodes.base import NodeType
from engine.nodes.registry import Catalogue

CACHED_PROGRAMS = 256
_HOLE = None


@dataclass(slots=True)
class NodeProgram:
    """What a node evaluates. `params` leaves out nested graphs and the expressions that the node evaluates itself."""

    node: PlanNode
    spec: NodeSpec
    type: NodeType
    params: Template
    expressions: list[tuple[tuple[str | int, ...], Any]]
    when: Template | None = None
    inputs: Template | None = None
    assign: Template | None = None
    parsed: Any = None  # parameters, if nothing in them is a template


@dataclass(slots=True)
class GraphProgram:
    """What the end of a graph evaluates; `breaks` and `condition` belong to the loop around it."""

    outputs: Template | None = None
    breaks: Expression | None = None
    condition: Expression | None = None


@dataclass(slots=True)
class Program:
    """The compiled templates of a version, made as they are asked for."""

    spec: WorkflowSpec
    plan: Plan
    catalogue: Catalogue
    specs: list[NodeSpec] = field(default_factory=list[NodeSpec])
    outputs: list[Any] = field(default_factory=list[Any])
    budget: dict[str, Any] | None = None
    _nodes: dict[int, NodeProgram] = field(default_factory=dict[int, NodeProgram])
    _graphs: dict[int, GraphProgram] = field(default_factory=dict[int, GraphProgram])

    def __post_init__(self) -> None:
        self.specs = node_specs(self.spec)
        self.outputs = graph_outputs(self.spec)
        budget = self.spec.settings.budget
        self.budget = None if budget is None else budget.model_dump()

    def node(self, index: int) -> NodeProgram:
        """Raises: NodeError if the type is not installed here or a template cannot be compiled."""
        program = self._nodes.get(index)
        if program is None:
            program = self._nodes[index] = self._compile_node(index)
        return program

    def graph(self, index: int) -> GraphProgram:
        program = self._graphs.get(index)
        if program is None:
            program = self._graphs[index] = self._compile_graph(index)
        return program

    def _compile_node(self, index: int) -> NodeProgram:
        spec = self.specs[index]
        node_type = self.catalogue.get(spec.type)
        if node_type is None:
            raise NodeError(f"node type {spec.type!r} is not installed on this worker", code=INVALID_CONFIG)
        own = {name: value for name, value in spec.params.items() if name not in node_type.body_params}
        paths = node_type.item_expression_paths(own)
        expressions = [(path, _at(own, path)) for path in paths]
        params = compile_template(_without(own, paths))
        program = NodeProgram(self.plan.nodes[index], spec, node_type, params, expressions)
        program.when = compile_template(spec.when) if spec.when is not None else None
        program.inputs = compile_template(spec.inputs) if spec.inputs else None
        program.assign = compile_template(spec.assign) if spec.assign else None
        return program

    def _compile_graph(self, index: int) -> GraphProgram:
        outputs, container = self.outputs[index]
        program = GraphProgram(outputs=compile_template(outputs) if outputs is not None else None)
        if container is not None and container.type == "loop":
            breaks, condition = container.params.get("break_condition"), container.params.get("condition")
            program.breaks = compile_expression(breaks) if breaks is not None else None
            program.condition = compile_expression(condition) if condition is not None else None
        return program


class Programs:
    """The most recently used programs of this process, by version id."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._cache: OrderedDict[str, Program] = OrderedDict()

    def of(self, version_id: str, spec: WorkflowSpec, plan: Plan) -> Program:
        program = self._cache.get(version_id)
        if program is None:
            program = self._cache[version_id] = Program(spec, plan, self._catalogue)
            if len(self._cache) > CACHED_PROGRAMS:
                self._cache.popitem(last=False)
        else:
            self._cache.move_to_end(version_id)
        return program


def filled(program: NodeProgram, rendered: Any) -> dict[str, Any]:
    """Rendered parameters with the node's own expressions put back in their places, as they were written."""
    if not program.expressions:
        return rendered
    tree = _copied(rendered)
    for path, source in program.expressions:
        _put(tree, path, source)
    return tree


def _at(tree: Any, path: tuple[str | int, ...]) -> Any:
    for step in path:
        tree = tree[step]
    return tree


def _without(tree: Any, paths: list[tuple[str | int, ...]]) -> Any:
    if not paths:
        return tree
    copy = _copied(tree)
    for path in paths:
        _put(copy, path, _HOLE)
    return copy


def _copied(tree: Any) -> Any:
    if isinstance(tree, dict):
        return {key: _copied(value) for key, value in tree.items()}
    if isinstance(tree, list):
        return [_copied(value) for value in tree]
    return tree


def _put(tree: Any, path: tuple[str | int, ...], value: Any) -> None:
    for step in path[:-1]:
        tree = tree[step]
    tree[path[-1]] = value
