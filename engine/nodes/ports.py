"""What a node may reach: the protocols that real clients fulfil and that a worker hands in.

Nodes never build a client of their own, so that limits, guards and pools are the same for all of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from engine.errors import INVALID_CONFIG, NodeError
from engine.nodes.generation.port import ModelPort
from engine.nodes.mailing.port import MailPort
from engine.nodes.messaging.exchange import BrokerPort
from engine.nodes.plugins.ports import PluginPort
from engine.nodes.querying.port import DatabasePort
from engine.nodes.scripting.ports import CommandPort, ScriptPort

_Port = TypeVar("_Port")


class ExpressionPort(Protocol):
    """Evaluates expressions; `engine.expressions.evaluator.Evaluator` is the real one."""

    async def evaluate(self, requests: Sequence[Any]) -> list[Any]:
        """One result or NodeError for each request, in order."""
        ...

    async def map_items(self, expression: Any, items: Sequence[Any], names: Mapping[str, Any]) -> list[Any]:
        """One result or NodeError for each item; `item` and `index` are in scope beside `names`."""
        ...


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """One HTTP call. `url` is absolute, `query` is added to its own; `content` is the encoded body.

    `secret_headers` are sent to the first origin alone and are dropped when a redirect leaves it;
    `secret_query` is added to the URL that is sent, and never shows in errors or in the response's `url`.
    """

    method: str
    url: str
    query: Sequence[tuple[str, str]] = ()
    headers: Sequence[tuple[str, str]] = ()
    content: bytes = b""
    secret_headers: Sequence[tuple[str, str]] = ()
    secret_query: Sequence[tuple[str, str]] = ()
    timeout_s: float = 30.0
    max_redirects: int = 5
    max_response_bytes: int = 10_000_000
    idempotent: bool = False
    allowed_hosts: Sequence[str] | None = None  # hosts that the credential is bound to; None is any


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """What came back, decoded and whole. Header names are lower case, repeated ones joined by a comma."""

    status: int
    headers: dict[str, str]
    content: bytes
    url: str
    elapsed_ms: float


class HttpPort(Protocol):
    """Sends HTTP requests past the guard against internal addresses."""

    async def send(self, request: HttpRequest) -> HttpResponse:
        """Send and read the whole answer, whatever its status.

        Raises: NodeError with BLOCKED_ADDRESS, ACCESS_DENIED, TIMEOUT, EXTERNAL_ERROR, OUTPUT_TOO_LARGE,
        OUTCOME_UNKNOWN or INVALID_CONFIG.
        """
        ...


@dataclass(frozen=True, slots=True)
class FileEntry:
    """One file or folder of a listing; `path` is relative to the tenant's root, with `/` between the parts."""

    path: str
    bytes: int
    modified_at: str
    is_folder: bool = field(default=False)


class FilePort(Protocol):
    """The files of one tenant at a time. Paths are relative to the tenant's root; nothing outside can be named.

    All raise NodeError: INVALID_CONFIG for a path that is not allowed, EXTERNAL_ERROR for a file that is not there,
    OUTPUT_TOO_LARGE past `max_bytes`, RESOURCE_EXHAUSTED when the disk or a cap is full.
    """

    async def read(self, tenant: str, path: str, max_bytes: int) -> bytes: ...

    async def head(self, tenant: str, path: str, max_bytes: int) -> bytes | None:
        """The beginning of a file, None if there is none."""
        ...

    async def write(self, tenant: str, path: str, data: bytes) -> int:
        """Replace the file as one step and give its size; folders on the way are made."""
        ...

    async def append(self, tenant: str, path: str, data: bytes) -> int:
        """Add to the end and give the file's new size."""
        ...

    async def list(self, tenant: str, path: str, *, recursive: bool, max_entries: int) -> list[FileEntry]: ...

    async def delete(self, tenant: str, path: str) -> bool:
        """Whether there was a file."""
        ...

    async def copy(self, tenant: str, source: str, destination: str) -> int: ...

    async def move(self, tenant: str, source: str, destination: str) -> int: ...


@dataclass(slots=True, kw_only=True)
class Ports:
    """What one worker process has to offer its nodes; built once, the same for all of them."""

    evaluator: ExpressionPort | None = None
    http: HttpPort | None = None
    files: FilePort | None = None
    brokers: BrokerPort | None = None
    scripts: ScriptPort | None = None
    commands: CommandPort | None = None
    plugins: PluginPort | None = None
    models: ModelPort | None = None
    databases: DatabasePort | None = None
    mail: MailPort | None = None


def required(port: _Port | None, name: str) -> _Port:
    """The port, which a node cannot do without.

    Raises: NodeError INVALID_CONFIG if this worker has none.
    """
    if port is None:
        raise NodeError(f"this worker has no {name}", code=INVALID_CONFIG)
    return port
