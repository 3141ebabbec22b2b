"""What a node is given when it runs, and what it gives back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Required, TypedDict

from engine.nodes.ports import Ports
from engine.nodes.receipt import Receipt

LogLevel = Literal["debug", "info", "warning", "error"]


class Credential(TypedDict, total=False):
    """A resolved secret; it exists inside activities alone and never reaches an output, a log or an error.

    `type` is api_key (`value`, and `header` or `query` naming where it goes), bearer (`token`), basic (`username`,
    `password`), hmac (`secret`), connection (`url` of a database or broker, with its password) or smtp (`host`, `port`,
    `username`, `password`, `security` starttls, tls or none, `from_address`). `allowed_hosts` binds it to hosts. An
    OAuth 2.0 client is a bearer token by the time a node sees it; `version` tells a replaced one from what it was.
    Where `trusted` is not True, the addresses that it names must pass the guard against internal ones.
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
    secret: str
    url: str
    host: str
    port: int
    security: Literal["starttls", "tls", "none"]
    from_address: str
    token_url: str
    client_id: str
    client_secret: str
    scopes: list[str]
    audience: str
    version: str
    trusted: bool
    allowed_hosts: list[str]


def _discard(level: LogLevel, message: str, fields: Mapping[str, Any]) -> None:
    """Logs go nowhere unless the worker says where."""


def unseen(text: str) -> None:
    """Partial text goes nowhere unless somebody can watch."""


@dataclass(slots=True, kw_only=True)
class NodeContext:
    """One attempt of a node execution, seen from the node.

    `upstream` is the node's upstream output (data), `scope` the names for its own expressions, `deadline_s` the
    seconds that this attempt may take.
    """

    tenant: str = ""
    execution_id: str = ""
    workflow_id: str = ""
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
    partial_sink: Callable[[str], None] = unseen
    budget: Mapping[str, Any] | None = None
    budgets_above: Sequence[tuple[str, Mapping[str, Any]]] = ()  # of executions that called this one, with their ids
    budget_approved: bool = False

    @property
    def own_deadline_s(self) -> float:
        """A little before the attempt is cut off from outside, where nobody would know what came of an effect."""
        return self.deadline_s - min(0.5, self.deadline_s * 0.05)

    def log(self, level: LogLevel, message: str, **fields: Any) -> None:
        """Add a line to the execution's log; never pass a secret."""
        self.log_sink(level, message, fields)


@dataclass(frozen=True, slots=True)
class NodeResult:
    """`output` is `nodes.<id>.output`; `port` None is the type's default port.

    The port carries the output, or `port_data` if `has_port_data`, or, with `passes_upstream`, the node's upstream
    output, which the engine passes on by reference without reading it. A `receipt` is acknowledged once the outcome is
    on record.
    """

    output: Any
    port: str | None = None
    port_data: Any = None
    has_port_data: bool = False
    passes_upstream: bool = False
    receipt: Receipt | None = None

    def carried(self, upstream: Any) -> Any:
        """What the emitted port carries to the nodes behind it."""
        if self.passes_upstream:
            return upstream
        return self.port_data if self.has_port_data else self.output
