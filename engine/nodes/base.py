"""How a node type is written: a parameter model and one decorated function in a file of its own.

    class GreetParams(NodeParams):
        \"\"\"Greet somebody.\"\"\"
        whom: str = Field(description="Name to greet")

    @node("greet", category="data", kind="local", result=GreetResult)
    async def greet(params: GreetParams, context: NodeContext) -> NodeResult: ...

Durable and container types decorate their `open` step instead: it gives the plain data that the interpreter acts on.
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar, cast

from pydantic import BaseModel, ConfigDict

from engine.dag.catalogue import Kind
from engine.errors import Issue
from engine.nodes.context import Credential, NodeContext, NodeResult
from engine.nodes.markers import Constant, Graph, ItemExpression
from engine.nodes.node_type import Example, NodeParams, NodeType

__all__ = [
    "Constant",
    "Credential",
    "Example",
    "Graph",
    "ItemExpression",
    "Kind",
    "NodeContext",
    "NodeParams",
    "NodeResult",
    "NodeType",
    "ResultModel",
    "node",
    "node_type_of",
]

_MARK = "__structforge_node__"
_Function = TypeVar("_Function", bound=Callable[..., Awaitable[Any]])
_DEFAULT_TIMEOUT_S = {"io": 30.0}


class ResultModel(BaseModel):
    """Describes an output for its JSON Schema and the documentation; outputs themselves are plain data."""

    model_config = ConfigDict(extra="forbid")


def node(
    type_name: str,
    *,
    category: str,
    kind: Kind,
    name: str | None = None,
    ports: tuple[str, ...] = ("out", "error"),
    default_port: str | None = None,
    idempotent: bool | Callable[[dict[str, Any]], bool] = True,
    cacheable: Callable[[dict[str, Any]], bool] | None = None,
    version: int = 1,
    icon: str = "box",
    default_timeout_s: float | None = None,
    result: Any = Any,
    examples: Sequence[Example] = (),
    expression_names: tuple[str, ...] = ("item", "index"),
    ports_for: Callable[[dict[str, Any]], tuple[str, ...]] | None = None,
    default_port_for: Callable[[dict[str, Any]], str] | None = None,
    reads_upstream: bool = False,
    task_queue: str | None = None,
    check: Callable[[Mapping[str, Any], str], list[Issue]] | None = None,
    by_hand: Callable[[Any, Any, datetime], Any] | None = None,
) -> Callable[[_Function], _Function]:
    """Make a node type of an `async def f(params, context)`; the function stays as it is.

    `idempotent` says whether a lost attempt may simply run again; a function decides by the raw parameters.
    `cacheable` says by the raw parameters whether a result may be kept for other executions; without it, it may.
    `reads_upstream` must be set for a function that looks at `context.upstream`.
    `check` adds issues of documents that the parameter model cannot see.
    `by_hand` makes a trigger's data when a person starts it: parsed parameters, what was given, the time of the start.
    `ports_for` and `default_port_for` are for types whose ports depend on (constant) parameters.
    """

    def decorate(function: _Function) -> _Function:
        opens = kind in ("durable", "container")
        model = _params_model(function)
        node_type = NodeType(
            type=type_name,
            name=name or type_name.rpartition(".")[2].replace("_", " ").capitalize(),
            category=category,
            kind=kind,
            icon=icon,
            version=version,
            ports=ports,
            default_port=default_port or ports[0],
            default_timeout_s=default_timeout_s or _DEFAULT_TIMEOUT_S.get(kind, 5.0),
            params_model=model,
            result=result,
            examples=tuple(examples),
            expression_names=expression_names,
            executor=None if opens else cast("Any", function),
            opener=cast("Any", function) if opens else None,
            is_idempotent=idempotent,
            is_cacheable=cacheable,
            ports_of=ports_for,
            default_port_of=default_port_for,
            reads_upstream=reads_upstream,
            task_queue=task_queue,
            check=check,
            by_hand=by_hand,
            description=inspect.getdoc(model) or "",
        )
        setattr(function, _MARK, node_type)
        return function

    return decorate


def node_type_of(candidate: object) -> NodeType | None:
    """The node type that a decorated function stands for."""
    found = getattr(candidate, _MARK, None)
    return found if isinstance(found, NodeType) else None


def _params_model(function: Callable[..., Any]) -> type[NodeParams]:
    first = next(iter(inspect.signature(function).parameters))
    model = typing.get_type_hints(function)[first]
    if not (isinstance(model, type) and issubclass(model, NodeParams)):
        raise TypeError(f"{function.__qualname__}: the first argument must be annotated with a NodeParams class")
    return model
