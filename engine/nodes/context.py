"""What a node is given when it runs, and what it gives back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Required, TypedDict

from engine.nodes.ports import Ports

LogLevel = Literal["debug", "info", "warning", "error"]


class Credential(TypedDict, total=False):
    """A resolved secret; it exists inside activities alone and never reaches an output, a log or an error.

    `type` is api_key (`value`, and `header` or `query` naming where it goes), bearer (`token`) or basic (`username`,
    `password`). `allowed_hosts` binds it to hosts.
    """

    type: Required[str]
    name: str
    value: str
    header: str
    query: str
    prefix: str
    token: str
    username: str
    password: str
    allowed_hosts: list[str]


def _discard(level: LogLevel, message: str, fields: Mapping[str, Any]) -> None:
    """Logs go nowhere unless the worker says where."""


@dataclass(slots=True, kw_only=True)
class NodeContext:
    """One attempt of a node execution, seen from the node.

    `upstream` is the node's upstream output (data), `scope` the names for its own expressions, `deadline_s` the
    seconds that this attempt may take.
    """

    tenant: str = ""
    execution_id: str = ""
    node_path: str = ""
    node_name: str = ""
    iteration: tuple[int, ...] = ()
    generation: int = 0
    attempt: int = 1
    idempotency_key: str = ""
    upstream: Any = None
    scope: Mapping[str, Any] = field(default_factory=dict[str, Any])
    ports: Ports = field(default_factory=Ports)
    credential: Credential | None = None
    deadline_s: float = 30.0
    log_sink: Callable[[LogLevel, str, Mapping[str, Any]], None] = _discard

    def log(self, level: LogLevel, message: str, **fields: Any) -> None:
        """Add a line to the execution's log; never pass a secret."""
        self.log_sink(level, message, fields)


@dataclass(frozen=True, slots=True)
class NodeResult:
    """`output` is `nodes.<id>.output`; `port` None is the type's default port.

    The port carries the output, or `port_data` if `has_port_data`, or, with `passes_upstream`, the node's upstream
    output, which the engine passes on by reference without reading it.
    """

    output: Any
    port: str | None = None
    port_data: Any = None
    has_port_data: bool = False
    passes_upstream: bool = False

    def carried(self, upstream: Any) -> Any:
        """What the emitted port carries to the nodes behind it."""
        if self.passes_upstream:
            return upstream
        return self.port_data if self.has_port_data else self.output
