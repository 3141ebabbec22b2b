"""What the pure core asks of the node catalogue; the real one stands in `engine.nodes` and is handed in."""

from __future__ import annotations

from typing import Any, Literal, Protocol

from engine.errors import Issue

Kind = Literal["trigger", "local", "io", "durable", "container"]


class NodeTypeInfo(Protocol):
    """The static facts of one node type."""

    @property
    def type(self) -> str: ...
    @property
    def kind(self) -> Kind: ...
    @property
    def reads_upstream(self) -> bool:
        """Whether its executor may look at the upstream output."""
        ...

    @property
    def task_queue(self) -> str | None:
        """The queue of its own worker fleet, or None for the worker's own."""
        ...

    def default_port_for(self, params: dict[str, Any]) -> str:
        """The port that is emitted when the node names none."""
        ...

    @property
    def expression_names(self) -> tuple[str, ...]:
        """Names in scope of the expressions that the node evaluates itself, such as `item` and `index`."""
        ...

    def idempotent(self, params: dict[str, Any]) -> bool:
        """Whether a node with these raw parameters may simply run twice."""
        ...

    def cacheable(self, params: dict[str, Any]) -> bool:
        """Whether the result of a node with these raw parameters may be kept for other executions."""
        ...

    def timeout_s_for(self, params: dict[str, Any]) -> float:
        """Seconds that one attempt may take with these raw parameters."""
        ...

    def ports_for(self, params: dict[str, Any]) -> tuple[str, ...]:
        """Output ports with these raw parameters, `error` included where the node can fail."""
        ...

    def item_expression_paths(self, params: dict[str, Any]) -> list[tuple[str | int, ...]]:
        """Where expressions stand that the node evaluates itself with `item` and `index`."""
        ...

    def validate_params(self, raw: dict[str, Any], path: str) -> list[Issue]: ...


class NodeCatalogue(Protocol):
    def get(self, type_name: str) -> NodeTypeInfo | None: ...

    def nearest(self, type_name: str) -> str | None: ...

    def absence(self, type_name: str) -> tuple[str, str] | None:
        """Why a type that is known of is not there, such as one of a plugin, and the remedy."""
        ...
