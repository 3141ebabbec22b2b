"""Log lines of executions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from models.jsonb import plain_text
from models.repositories.records import columns_of, row_of
from models.session import Database
from models.tables import ExecutionLog
from models.tenancy import TenantId

_ALL = columns_of(ExecutionLog)
_INSERT = """
    INSERT INTO execution_log (tenant_id, execution_id, node_path, iteration, attempt, level, message, fields, at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
"""
_LIST = f"""
    SELECT {_ALL} FROM execution_log WHERE tenant_id = $1 AND execution_id = $2 AND seq > $3
       AND ($4::text IS NULL OR node_path = $4) AND ($5::text[] IS NULL OR level = ANY ($5))
       AND ($6::text IS NULL OR strpos(lower(message), lower($6)) > 0) ORDER BY seq LIMIT $7
"""


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line of an execution's log; `level` is debug, info, warning or error."""

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
        """The line in the order of the insert."""
        return (
            self.tenant.uuid, self.execution_id, self.node_path, self.iteration, self.attempt, self.level,
            plain_text(self.message), self.fields, self.at,
        )  # fmt: skip


class Logs:
    """The table `execution_log`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def append(self, lines: Sequence[LogLine]) -> None:
        """Write lines of any number of tenants in one transaction."""
        if not lines:
            return
        async with self._database.transaction(list({line.tenant for line in lines})) as transaction:
            await transaction.executemany(_INSERT, [line.as_record() for line in lines])

    async def list(
        self,
        tenant: TenantId,
        execution_id: UUID,
        *,
        after: int = 0,
        node_path: str | None = None,
        levels: Sequence[str] | None = None,
        search: str | None = None,
        limit: int = 500,
    ) -> list[ExecutionLog]:
        """Lines in the order they were written, past line `after`; `search` is part of a message, in any case."""
        wanted = None if levels is None else list(levels)
        async with self._database.transaction(tenant) as transaction:
            arguments = (tenant.uuid, execution_id, after, node_path, wanted, search, limit)
            return [row_of(ExecutionLog, record) for record in await transaction.fetch(_LIST, *arguments)]
