"""Forgetting, and the months of the record; for the upkeep of the installation alone."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import asyncpg

from engine.errors import SystemFault
from models.session import Database

DETAILS: Final = ("execution_log", "node_execution")
_MONTHS = "SELECT part, leaf FROM record_months() WHERE upper <= id_at($1) ORDER BY leaf"
_DROP = "SELECT drop_month($1, $2)"
_EXTEND = "SELECT created, moved, left_over FROM extend_record($1)"
_FORGET = "SELECT forget_executions($1, id_at($2), $3, $4)"
_FORGET_DETAILS = "SELECT forget_details($1, $2, id_at($3), $4, $5)"
_FORGET_OTHERS = "SELECT forget_others($1, $2, $3)"


@dataclass(frozen=True, slots=True)
class Extended:
    """Months that were made, rows that they took out of default partitions, and rows that are left there."""

    created: int
    moved: int
    left_over: int


@asynccontextmanager
async def _waited_for() -> AsyncGenerator[None]:
    try:
        yield
    except asyncpg.LockNotAvailableError as error:
        raise SystemFault(f"others hold a table of the record: {error}") from None


class Retention:
    """Functions that run with the owner's rights; see `models.migrations.upkeep_retention`.

    Making and dropping months raise SystemFault where others hold the table for long: then another time.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def extend(self, months_ahead: int) -> Extended:
        """Make the months that are missing, in every branch of the record."""
        async with _waited_for(), self._database.connection() as connection:
            row = await connection.fetchrow(_EXTEND, months_ahead)
        assert row is not None
        return Extended(*row)

    async def months_before(self, moment: datetime) -> list[tuple[str, str]]:
        """Tables of the record and their partitions whose month ended before that."""
        async with self._database.connection() as connection:
            return [(row[0], row[1]) for row in await connection.fetch(_MONTHS, moment)]

    async def drop_month(self, leaf: str, finished_before: datetime) -> bool:
        """Drop a month whose executions all ended before that; False if something in it is to stay."""
        async with _waited_for(), self._database.connection() as connection:
            return await connection.fetchval(_DROP, leaf, finished_before)

    async def forget_executions(self, tenant: UUID, began: datetime, finished: datetime, limit: int) -> int:
        """Delete executions that were made before `began` and ended before `finished`, at most `limit`; how many."""
        async with self._database.connection() as connection:
            return await connection.fetchval(_FORGET, tenant, began, finished, limit)

    async def forget_details(self, part: str, tenant: UUID, began: datetime, finished: datetime, limit: int) -> int:
        """The same for node executions or log lines, those of executions that are gone too; how many rows."""
        async with self._database.connection() as connection:
            return await connection.fetchval(_FORGET_DETAILS, part, tenant, began, finished, limit)

    async def forget_others(self, kind: str, older_than: timedelta, limit: int) -> int:
        """Delete rows of another kind that are older than that, at most `limit`; how many."""
        async with self._database.connection() as connection:
            return await connection.fetchval(_FORGET_OTHERS, kind, older_than, limit)
