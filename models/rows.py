"""Rows of the record as they are handed about: node outcomes in, closings in, answers out."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from engine.dag.digest import row_digest
from models.jsonb import plain_text
from models.tenancy import TenantId

NodeKey = tuple[str, tuple[int, ...], int]  # node path, iteration, generation

STATUS_RANK = {"pending": 0, "running": 1, "waiting": 2, "retrying": 3}
TERMINAL_RANK = 4
TERMINAL_NODE_STATUSES = ("success", "failed", "skipped", "pruned", "cancelled")
TERMINAL_EXECUTION_STATUSES = ("success", "failed", "cancelled", "timed_out")


@dataclass(slots=True)
class NodeRow:
    """The state of one node execution. Times are in UTC; `input`, `output` and `assigned` members are Values."""

    tenant: TenantId
    execution_id: UUID
    node_path: str
    node_type: str
    status: str
    iteration: tuple[int, ...] = ()
    generation: int = 0
    reason: str | None = None
    attempts: int = 0
    lost: int = 0  # workers that died under it
    execution_attempt: int = 1
    port: str | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    duration_ms: float | None = None
    input: dict[str, Any] | None = None
    output: dict[str, Any] | None = None
    error: dict[str, Any] | None = None
    assigned: dict[str, Any] | None = None
    worker: str | None = None
    cached: bool = False
    seq: int = 0  # given by PostgreSQL; read only

    @property
    def key(self) -> NodeKey:
        return (self.node_path, self.iteration, self.generation)

    @property
    def digest(self) -> int:
        return row_digest(self.node_path, self.iteration, self.generation, self.status, self.attempts)

    @property
    def precedence(self) -> tuple[int, bool, int, int, int]:
        """A row replaces another of its key only if its precedence is higher.

        An end is above all else; before it, a later attempt is above an earlier one that waits to be tried again.
        """
        rank = STATUS_RANK.get(self.status, TERMINAL_RANK)
        return (self.execution_attempt, rank == TERMINAL_RANK, self.attempts, rank, self.lost)

    def as_record(self) -> tuple[Any, ...]:
        """The row in the order of the type `node_execution_row`."""
        return (
            self.tenant.uuid, self.execution_id, self.node_path, self.iteration, self.generation, self.node_type,
            self.status, plain_text(self.reason), self.attempts, self.lost, self.execution_attempt, self.port,
            self.started_at, self.finished_at, self.duration_ms, self.input, self.output, self.error, self.assigned,
            self.digest, plain_text(self.worker), self.cached,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Present:
    """A terminal row that the database holds; the digest tells whether it is the outcome the asker knows."""

    node_path: str
    iteration: tuple[int, ...]
    generation: int
    digest: int

    @property
    def key(self) -> NodeKey:
        return (self.node_path, self.iteration, self.generation)


@dataclass(frozen=True, slots=True)
class Message:
    """What the outbox tells others about."""

    kind: str
    payload: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Finish:
    """The end of an execution.

    `count` and `digest` are over every terminal node execution (`engine.dag.digest.add_digests`); `rows` are those
    that the asker does not know to be recorded; they replace what a worker wrote in the same execution attempt.
    `final` closes whatever the count says: for an asker that has sent everything and is still refused.
    """

    tenant: TenantId
    execution_id: UUID
    status: str
    count: int
    digest: int
    finished_at: datetime
    output: dict[str, Any] | None = None
    error: dict[str, Any] | None = None
    attempt: int = 1
    handled_failures: int = 0
    rows: tuple[NodeRow, ...] = ()
    messages: tuple[Message, ...] = ()
    final: bool = False

    def as_record(self) -> tuple[Any, ...]:
        """The closing in the order of the type `execution_closing`."""
        messages = [{"kind": message.kind, "payload": message.payload} for message in self.messages]
        return (
            self.tenant.uuid, self.execution_id, self.status, self.output, self.error, self.attempt,
            self.handled_failures, self.count, self.digest, self.finished_at, messages, self.final,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class FinishResult:
    """`closed`: the execution row is final, with `status` (an earlier closing keeps its own).

    Otherwise `present` holds terminal rows that the database has (at most `PRESENT_LIMIT`); every other must be sent,
    and so must those whose digest differs.
    """

    closed: bool
    status: str
    present: list[Present] | None = None


@dataclass(frozen=True, slots=True)
class Confirmation:
    """Whether the database holds exactly the outcomes that were counted; if not, `present` as in FinishResult."""

    complete: bool
    present: list[Present] | None = None


@dataclass(frozen=True, slots=True)
class Scope:
    """Part of an execution: rows below a container, in a half-open range of iterations.

    `first` and `stop` are compared with a row's iteration like Python tuples: iterations 10 to 19 of a loop at the top
    are `first=(10,)`, `stop=(20,)`; inside pass 3 of an outer loop they are `(3, 10)` and `(3, 20)`.
    """

    path_prefix: str = ""
    first: tuple[int, ...] | None = None
    stop: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True)
class Attempts:
    """What the record knows about the tries of one node execution."""

    status: str
    attempts: int
    lost: int
    execution_attempt: int = 1
    port: str | None = None
    output: dict[str, Any] | None = None
    error: dict[str, Any] | None = field(default=None)
    assigned: dict[str, Any] | None = None


PRESENT_LIMIT = 10_000
