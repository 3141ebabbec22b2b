"""Log lines of executions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from models.jsonb import plain_text
from models.repositories.records import columns_of, row_of
from models.session import Database, tenant_list
from models.tables import ExecutionLog
from models.tenancy import TenantId

LEVELS = ("debug", "info", "warning", "error")
_ALL = columns_of(ExecutionLog)
_APPEND = "SELECT append_log_lines($1, $2)"
_PROBLEMS = "level IN ('warning', 'error')"  # as the partial index says it


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line of an execution's log; `level` is one of LEVELS."""

    tenant: TenantId
    execution_id: UUID
    level: str
    message: str
    node_path: str | None = None
    iteration: tuple[int, ...] | None = None
    attempt: int | None = None
    fields: dict[str, Any] | None = None
    at: datetime = field(default_factory=_now)

    def as_record(self) -> tuple[Any, ...]:
        """The line in the order of the type `execution_log_row`."""
        return (
            self.tenant.uuid, self.execution_id, plain_text(self.node_path), self.iteration, self.attempt, self.level,
            plain_text(self.message), self.fields, self.at,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class LogFilter:
    """What a log is narrowed to. `level` is the lowest shown; `text` is part of a message, in any case.

    `node_path` means the node itself; with `below` its body too. `at_from` is included, `at_before` is not.
    """

    level: str = "debug"
    node_path: str | None = None
    below: bool = False
    iteration: Sequence[int] | None = None
    attempt: int | None = None
    text: str | None = None
    at_from: datetime | None = None
    at_before: datetime | None = None


class Logs:
    """The table `execution_log`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def append(self, lines: Sequence[LogLine]) -> None:
        """Write lines of any number of tenants in one transaction and one round trip."""
        if not lines:
            return
        tenants = tenant_list(list({line.tenant for line in lines}))
        async with self._database.connection() as connection:
            await connection.execute(_APPEND, tenants, [line.as_record() for line in lines])

    async def list(
        self,
        tenant: TenantId,
        execution_id: UUID,
        narrowed: LogFilter | None = None,
        *,
        after: int = 0,
        limit: int = 500,
    ) -> list[ExecutionLog]:
        """Lines in the order they were written, past line `after`."""
        conditions, arguments = _conditions(tenant, execution_id, narrowed or LogFilter(), after)
        arguments.append(limit)
        query = (
            f"SELECT {_ALL} FROM execution_log WHERE {' AND '.join(conditions)} ORDER BY seq LIMIT ${len(arguments)}"
        )
        async with self._database.transaction(tenant) as transaction:
            return [row_of(ExecutionLog, record) for record in await transaction.fetch(query, *arguments)]


def _conditions(tenant: TenantId, execution_id: UUID, narrowed: LogFilter, after: int) -> tuple[list[str], list[Any]]:
    """SQL fragments, all of them constants, and the arguments that they number."""
    path = "starts_with(node_path, ${0} || '.') OR node_path = ${0}" if narrowed.below else "node_path = ${0}"
    wanted: list[tuple[str, Any]] = [
        (f"({path})", narrowed.node_path),
        ("iteration = ${0}::integer[]", None if narrowed.iteration is None else list(narrowed.iteration)),
        ("attempt = ${0}", narrowed.attempt),
        ("at >= ${0}", narrowed.at_from),
        ("at < ${0}", narrowed.at_before),
        ("strpos(lower(message), lower(${0})) > 0", narrowed.text or None),
    ]
    conditions = ["tenant_id = $1", "execution_id = $2", "seq > $3", *_levels(narrowed.level)]
    arguments: list[Any] = [tenant.uuid, execution_id, after]
    for fragment, argument in wanted:
        if argument is not None:
            arguments.append(argument)
            conditions.append(fragment.format(len(arguments)))
    return conditions, arguments


def _levels(lowest: str) -> list[str]:
    """Conditions on the level, constant text, so that the index on problems can be used."""
    match lowest:
        case "error":
            return [_PROBLEMS, "level = 'error'"]
        case "warning":
            return [_PROBLEMS]
        case "info":
            return ["level <> 'debug'"]
        case _:
            return []
