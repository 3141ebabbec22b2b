"""NodeType: everything that a node type publishes about itself, and the two ways its parameters are read."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any, TypedDict

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from engine.dag.catalogue import Kind
from engine.dag.durations import parse_duration
from engine.errors import INVALID_CONFIG, Issue, NodeError
from engine.nodes.context import NodeContext, NodeResult
from engine.nodes.documentation import document_node_type
from engine.nodes.markers import Constant, Graph, ItemExpression, JsonPath, marked_fields, marked_paths, templated_paths
from engine.nodes.param_issues import INVALID_PARAM, constant_issues, fixed_issues, issues_of, missing_issue


class NodeParams(BaseModel):
    """Parameters of a node type. The class docstring is the type's description."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class Example(TypedDict):
    """A worked use of a node type; every example is checked against the parameter model by a test."""

    title: str
    params: dict[str, Any]


@dataclass(frozen=True)
class NodeType:
    """A node type of the catalogue.

    `executor` runs triggers, local and I/O nodes; `opener` gives the plain data that the interpreter acts on for
    durable and container types. Exactly one of the two is set. `reads_upstream` says whether it may look at the
    upstream output; where it is False, `NodeContext.upstream` may be left None. `task_queue` None is the worker's own.
    """

    type: str
    name: str
    description: str
    category: str
    icon: str
    version: int
    kind: Kind
    ports: tuple[str, ...]
    default_port: str
    default_timeout_s: float
    params_model: type[NodeParams]
    result: Any
    examples: tuple[Example, ...]
    expression_names: tuple[str, ...]
    executor: Callable[[Any, NodeContext], Awaitable[NodeResult]] | None
    opener: Callable[[Any, NodeContext], Awaitable[dict[str, Any]]] | None
    is_idempotent: bool | Callable[[dict[str, Any]], bool]
    ports_of: Callable[[dict[str, Any]], tuple[str, ...]] | None
    default_port_of: Callable[[dict[str, Any]], str] | None
    reads_upstream: bool = False
    task_queue: str | None = None
    check: Callable[[Mapping[str, Any], str], list[Issue]] | None = None
    by_hand: Callable[[Any, Any, datetime], Any] | None = None
    is_cacheable: Callable[[dict[str, Any]], bool] | None = None
    input_ports: tuple[str, ...] = ("in",)

    def idempotent(self, params: dict[str, Any]) -> bool:
        """Whether a lost attempt may run again by itself. A parameter that is still a template counts against it."""
        return self.is_idempotent if isinstance(self.is_idempotent, bool) else self.is_idempotent(params)

    def cacheable(self, params: dict[str, Any]) -> bool:
        """Whether a result may be kept for other executions, by raw or by rendered parameters."""
        return self.is_cacheable is None or self.is_cacheable(params)

    def ports_for(self, params: dict[str, Any]) -> tuple[str, ...]:
        """Output ports of a node with these raw parameters, in document order; bad parameters give what is readable."""
        return self.ports if self.ports_of is None else self.ports_of(params)

    def default_port_for(self, params: dict[str, Any]) -> str:
        """The port that is emitted when the node names none."""
        return self.default_port if self.default_port_of is None else self.default_port_of(params)

    def timeout_s_for(self, params: Mapping[str, Any]) -> float:
        """Longest attempt of a node that names no `timeout` of its own: the type's default, or as long as the
        parameter `timeout` of an I/O type asks for, with a second to spare."""
        asked = params.get("timeout") if self.kind == "io" else None
        try:
            wanted_s = parse_duration(asked).total_seconds() + 1 if isinstance(asked, str) else 0.0
        except ValueError:
            wanted_s = 0.0  # a template, or wrong and reported elsewhere
        return max(self.default_timeout_s, wanted_s)

    @cached_property
    def body_params(self) -> tuple[str, ...]:
        """Parameters that hold nested graphs: not rendered, not validated here."""
        return marked_fields(self.params_model, Graph)

    @cached_property
    def _find_expressions(self) -> Callable[[Mapping[str, Any]], list[JsonPath]]:
        return marked_paths(self.params_model, ItemExpression)

    @cached_property
    def _find_constants(self) -> Callable[[Mapping[str, Any]], list[JsonPath]]:
        return marked_paths(self.params_model, Constant)

    def item_expression_paths(self, params: Mapping[str, Any]) -> list[JsonPath]:
        """Paths into raw `params` whose strings are parsed as expressions and are not rendered before the node runs."""
        return self._find_expressions(params)

    def validate_params(self, raw: Mapping[str, Any], path: str) -> list[Issue]:
        """Every issue of parameters as they stand in a document, where leaves may be templates.

        What a template will give is not known, so nothing is said of its type; its syntax is the reference parser's
        business. `path` is where the parameters stand, such as `nodes[3].params`.
        """
        try:
            return self._issues(raw, path)
        except RecursionError:
            return [Issue(INVALID_PARAM, path, "the parameters are nested too deep", "write a flatter object")]

    def _issues(self, raw: Mapping[str, Any], path: str) -> list[Issue]:
        issues = [missing_issue(path, name, self.params_model) for name in self.body_params if name not in raw]
        issues += [] if self.check is None else self.check(raw, path)
        issues += constant_issues(raw, self._find_constants(raw), path)
        issues += fixed_issues(raw, self.item_expression_paths(raw), path) if self.kind == "trigger" else []
        try:
            self.params_model.model_validate(raw)
        except ValidationError as error:
            # Nested graphs are full of templates that say nothing of this node's own parameters.
            own = {key: value for key, value in raw.items() if key not in self.body_params}
            issues += issues_of(error, raw, path, self.params_model, [*templated_paths(own)])
        return issues

    def parse_params(self, rendered: Mapping[str, Any]) -> Any:
        """The parameter model of rendered parameters; nested graphs are left out.

        Raises: NodeError INVALID_CONFIG with every problem in `details["issues"]`.
        """
        try:
            return self.params_model.model_validate(rendered)
        except ValidationError as error:
            issues = issues_of(error, rendered, "params", self.params_model, [])
            text = "; ".join(f"{issue.path}: {issue.message}" for issue in issues[:5])
            details = {"issues": [issue.as_dict() for issue in issues]}
            raise NodeError(f"{self.type}: {text}", code=INVALID_CONFIG, details=details) from None

    def data_by_hand(self, params: Mapping[str, Any], given: Any, now: datetime) -> Any:
        """A trigger's data when a person starts it: `given`, completed by what the trigger knows itself.

        Raises: ValidationFailed if that is not what the trigger gives.
        """
        return given if self.by_hand is None else self.by_hand(self.parse_params(params), given, now)

    async def execute(self, params: Any, context: NodeContext) -> NodeResult:
        """Run the node on parsed parameters.

        Raises: NodeError; TypeError for a type that only opens.
        """
        if self.executor is None:
            raise TypeError(f"a {self.type} node is run by the interpreter: call open")
        return await self.executor(params, context)

    async def open(self, params: Any, context: NodeContext) -> dict[str, Any]:
        """The plain data by which the interpreter runs a durable or container node.

        Raises: NodeError; TypeError for a type that executes.
        """
        if self.opener is None:
            raise TypeError(f"a {self.type} node has nothing to open: call execute")
        return await self.opener(params, context)

    @cached_property
    def params_schema(self) -> dict[str, Any]:
        """JSON Schema of the parameters."""
        return self.params_model.model_json_schema()

    @cached_property
    def result_schema(self) -> dict[str, Any]:
        """JSON Schema of the output."""
        return TypeAdapter[Any](self.result).json_schema()

    @cached_property
    def documentation(self) -> str:
        """Markdown of the type's page."""
        return document_node_type(self)

    def as_dict(self) -> dict[str, Any]:
        """What `GET /node-types` and `structforge node show` publish."""
        return {
            "type": self.type,
            "name": self.name,
            "description": self.description,
            "category": self.category,
            "icon": self.icon,
            "version": self.version,
            "kind": self.kind,
            "input_ports": list(self.input_ports),
            "output_ports": list(self.ports),
            "default_port": self.default_port,
            "dynamic_ports": self.ports_of is not None,
            "default_timeout_s": self.default_timeout_s,
            "params_schema": self.params_schema,
            "result_schema": self.result_schema,
            "examples": [dict(example) for example in self.examples],
            "documentation": self.documentation,
        }
