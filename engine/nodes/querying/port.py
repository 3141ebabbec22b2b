"""What a node asks of a database, and what comes back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:  # the context holds the ports
    from engine.nodes.context import Credential

Parameters = Mapping[str, Any]
Excess = Literal["fail", "truncate"]
Decimals = Literal["text", "number"]


@dataclass(frozen=True, slots=True)
class Call:
    """One statement with `:name` parameters as JSON data; a list runs it once for each of its members."""

    query: str
    parameters: Parameters | Sequence[Parameters] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseRequest:
    """Statements that run in one transaction, all or nothing.

    The database is the credential's, or `sqlite_file` below the tenant's folder. `timeout_s` bounds everything;
    `max_rows` and `max_bytes` bound all results together. `idempotent` says that the request may run twice.
    """

    tenant: str
    calls: Sequence[Call]
    credential: Credential | None = None
    sqlite_file: str | None = None
    read_only: bool = False
    timeout_s: float = 30.0
    max_rows: int = 10_000
    max_bytes: int = 20_000_000
    on_excess: Excess = "fail"
    decimals: Decimals = "text"
    idempotent: bool = False


@dataclass(frozen=True, slots=True)
class DatabaseResult:
    """What one statement gave. `row_count` is the number of rows given or changed, None where the database does not
    say; `last_id` the key that SQLite or MySQL made for an inserted row."""

    rows: list[dict[str, Any]]
    columns: list[str]
    row_count: int | None
    truncated: bool = False
    last_id: int | None = None


class DatabasePort(Protocol):
    """Runs statements on the databases of credentials and of tenants' files."""

    async def run(self, request: DatabaseRequest) -> list[DatabaseResult]:
        """One result for each call, after the transaction was committed.

        Raises: NodeError INVALID_CONFIG for a statement or parameter that cannot be sent, ACCESS_DENIED,
        BLOCKED_ADDRESS, TIMEOUT, OUTPUT_TOO_LARGE, EXTERNAL_ERROR for what the database refuses,
        OUTCOME_UNKNOWN where the connection broke while it committed. None shows a parameter's value.
        """
        ...
