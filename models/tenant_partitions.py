"""Partitions of its own for a large tenant, moved there online.

For each table of the record a branch is made beside it. A trigger writes every change of the tenant's rows there too,
while all rows are copied in batches. Then, in one transaction that holds the table, what may be missing is added, the
two are counted against one another, the rows leave the shared branch, and the new one is attached. Readers and writers
meet either the one state or the other; during the change itself they wait. Broken off anywhere, it is simply run again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import asyncpg

from engine.errors import Conflict, SystemFault
from models.migrations import LOCK_KEY
from models.partitions import PARTITIONED
from models.session import plain_url, translated_faults

BATCH = 2000
LOCK_TRIES = 20
LOCK_WAIT_MS = 2000
_log = logging.getLogger(__name__)

_PREPARE = """
    CREATE TABLE {branch} (LIKE {shared} INCLUDING ALL, CONSTRAINT {branch}_tenant CHECK (tenant_id = '{tenant}'))
        PARTITION BY RANGE ({key});
    ALTER TABLE {branch} ENABLE ROW LEVEL SECURITY;
    CREATE TABLE {branch}_default PARTITION OF {branch} DEFAULT;
    ALTER TABLE {branch}_default ENABLE ROW LEVEL SECURITY;
    CREATE FUNCTION {branch}_follow() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
        SET search_path = public, pg_temp AS $$
    BEGIN
        IF TG_OP = 'DELETE' THEN
            DELETE FROM {branch} b WHERE {same_as_old};
        ELSE
            INSERT INTO {branch} ({columns}) VALUES ({new_values}) ON CONFLICT ({primary}) DO UPDATE SET {update};
        END IF;
        RETURN NULL;
    END $$;
    REVOKE EXECUTE ON FUNCTION {branch}_follow() FROM PUBLIC;
    CREATE TRIGGER {branch}_made AFTER INSERT OR UPDATE ON {shared} FOR EACH ROW
        WHEN (NEW.tenant_id = '{tenant}') EXECUTE FUNCTION {branch}_follow();
    CREATE TRIGGER {branch}_gone AFTER DELETE ON {shared} FOR EACH ROW
        WHEN (OLD.tenant_id = '{tenant}') EXECUTE FUNCTION {branch}_follow();
"""
_MONTH = """
    CREATE TABLE {branch}{suffix} PARTITION OF {branch} {bound};
    ALTER TABLE {branch}{suffix} ENABLE ROW LEVEL SECURITY;
"""
# Rows that somebody changes at this moment are left out: their trigger brings them, or the end does.
_COPY = """
    WITH part AS (
        SELECT {columns} FROM {shared} s WHERE s.tenant_id = '{tenant}' AND ({order}) > ({after})
         ORDER BY {order} LIMIT {batch}),
    held AS (SELECT s.* FROM {shared} s JOIN part USING ({primary}) FOR SHARE OF s SKIP LOCKED),
    copied AS (INSERT INTO {branch} ({columns}) SELECT {columns} FROM held ON CONFLICT DO NOTHING RETURNING 1)
    SELECT (SELECT count(*) FROM copied) AS copied,
           (SELECT ARRAY[{last}] FROM part ORDER BY {descending} LIMIT 1) AS last
"""
_MISSING = """
    INSERT INTO {branch} ({columns}) SELECT {columns} FROM {shared} s
     WHERE s.tenant_id = '{tenant}' AND NOT EXISTS (SELECT FROM {branch} b WHERE {same_as_shared})
"""
_COUNTS = """
    SELECT (SELECT count(*) FROM {shared} WHERE tenant_id = '{tenant}'), (SELECT count(*) FROM {branch})
"""
_SWITCH = """
    DROP FUNCTION {branch}_follow() CASCADE;
    DELETE FROM {shared} WHERE tenant_id = '{tenant}';
    ALTER TABLE {table} ATTACH PARTITION {branch} FOR VALUES IN ('{tenant}');
    ALTER TABLE {branch} DROP CONSTRAINT {branch}_tenant;
"""
_COLUMNS = """
    SELECT attname FROM pg_attribute WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped
     ORDER BY attnum
"""
_PRIMARY = """
    SELECT a.attname, format_type(a.atttypid, a.atttypmod) FROM pg_index i
      JOIN unnest(i.indkey) WITH ORDINALITY k (number, place) ON true
      JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.number
     WHERE i.indrelid = to_regclass($1) AND i.indisprimary ORDER BY k.place
"""
_LEAVES = """
    SELECT leaf.relname, pg_get_expr(leaf.relpartbound, leaf.oid) FROM pg_inherits i
      JOIN pg_class leaf ON leaf.oid = i.inhrelid WHERE i.inhparent = to_regclass($1) ORDER BY 1
"""
_STATE = """
    SELECT to_regclass($1) IS NOT NULL AS made,
           EXISTS (SELECT FROM pg_inherits WHERE inhrelid = to_regclass($1) AND inhparent = to_regclass($2)) AS attached
"""


@dataclass(frozen=True, slots=True)
class Moved:
    """What came of one table: rows of the tenant, counted on both sides; `was_there` if it had its branch already."""

    table: str
    rows: int
    was_there: bool = False


async def partition_tenant(
    owner_url: str, tenant: UUID, *, batch: int = BATCH, told: Callable[[str, int], None] = lambda _table, _rows: None
) -> list[Moved]:
    """Give a tenant partitions of its own in every table of the record. `told` hears of each batch.

    Raises: Conflict if a migration or another such move is under way, or the counts differ; SystemFault if PostgreSQL
    is away or the table cannot be had for long enough.
    """
    with translated_faults():
        connection = await asyncpg.connect(plain_url(owner_url))
        try:
            if not await connection.fetchval("SELECT pg_try_advisory_lock($1)", LOCK_KEY):
                raise Conflict("the database is being migrated, or another tenant is moved: wait until that is done")
            return [
                await _Move(connection, table, key, tenant, batch, told).run() for table, key in PARTITIONED.items()
            ]
        finally:
            await connection.close()


class _Move:
    """One table's move."""

    def __init__(
        self,
        connection: asyncpg.Connection[asyncpg.Record],
        table: str,
        key: str,
        tenant: UUID,
        batch: int,
        told: Callable[[str, int], None],
    ) -> None:
        self._connection = connection
        self._table = table
        self._told = told
        self._primary_types: list[str] = []
        # The name that retention derives the other tables' branches by: what follows the table's name is the same.
        branch = f"{table}_t_{tenant.hex}"
        self._words = {
            "table": table, "key": key, "tenant": str(tenant), "batch": str(batch), "branch": branch,
            "shared": f"{table}_shared",
        }  # fmt: skip

    async def run(self) -> Moved:
        await self._learn()
        branch = self._words["branch"]
        state = await self._connection.fetchrow(_STATE, branch, self._table)
        assert state is not None
        if state["attached"]:
            counts = await self._connection.fetchval(self._sql("SELECT count(*) FROM {branch}"), timeout=3600)
            return Moved(self._table, counts, was_there=True)
        if not state["made"]:
            await self._with_lock(self._prepare)
        await self._copy()
        return await self._with_lock(self._switch)

    async def _learn(self) -> None:
        shared = self._words["shared"]
        columns = [row[0] for row in await self._connection.fetch(_COLUMNS, shared)]
        keys = [(row[0], row[1]) for row in await self._connection.fetch(_PRIMARY, shared)]
        names, order = [name for name, _ in keys], [name for name, _ in keys if name != "tenant_id"]
        self._primary_types = [kind for name, kind in keys if name != "tenant_id"]
        self._words |= {
            "columns": ", ".join(columns),
            "new_values": ", ".join(f"NEW.{name}" for name in columns),
            "update": ", ".join(f"{name} = excluded.{name}" for name in columns if name not in names),
            "primary": ", ".join(names),
            "same_as_old": " AND ".join(f"b.{name} = OLD.{name}" for name in names),
            "same_as_shared": " AND ".join(f"b.{name} = s.{name}" for name in names),
            "order": ", ".join(order),
            "last": ", ".join(f"{name}::text" for name in order),
            "descending": ", ".join(f"{name} DESC" for name in order),
        }

    def _sql(self, statement: str, **more: str) -> str:
        return statement.format(**self._words, **more)

    async def _with_lock(self, change: Callable[[], Any]) -> Any:
        """Do it in one transaction that gets its locks soon or not at all, so that nobody queues up behind it."""
        for attempt in range(LOCK_TRIES):
            try:
                async with self._connection.transaction():
                    await self._connection.execute(f"SET LOCAL lock_timeout = {LOCK_WAIT_MS}")
                    return await change()
            except (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError):
                _log.warning("%s is in use; once more", self._table)
                await asyncio.sleep(min(5, 0.2 * 2**attempt))
        raise SystemFault(f"{self._table} is in use by long transactions: run it again at a quieter time")

    async def _prepare(self) -> None:
        await self._connection.execute(self._sql(_PREPARE))
        for leaf, bound in await self._connection.fetch(_LEAVES, self._words["shared"]):
            if bound != "DEFAULT":
                suffix = leaf.removeprefix(self._words["shared"])
                await self._connection.execute(self._sql(_MONTH, suffix=suffix, bound=bound))

    async def _copy(self) -> None:
        after: list[str] | None = None
        total = 0
        while True:
            row = await self._connection.fetchrow(self._sql(_COPY, after=self._place(after)), timeout=600)
            assert row is not None
            if row["last"] is None:
                return
            after = row["last"]
            total += row["copied"]
            self._told(self._table, total)

    def _place(self, after: list[str] | None) -> str:
        """Where the next batch begins. The texts are PostgreSQL's own, of keys."""
        smallest = {"uuid": "00000000-0000-0000-0000-000000000000", "integer": "-1", "bigint": "-1", "integer[]": "{}"}
        texts = after or [smallest.get(kind, "") for kind in self._primary_types]
        quoted = [text.replace("'", "''") for text in texts]
        return ", ".join(f"'{text}'::{kind}" for text, kind in zip(quoted, self._primary_types, strict=True))

    async def _switch(self) -> Moved:
        await self._connection.execute(self._sql("LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE"))
        await self._connection.execute(self._sql(_MISSING), timeout=3600)
        counts = await self._connection.fetchrow(self._sql(_COUNTS), timeout=3600)
        assert counts is not None
        if counts[0] != counts[1]:
            raise Conflict(
                f"{self._table}: {counts[0]} rows are shared and {counts[1]} were copied; nothing is changed"
            )
        await self._connection.execute(self._sql(_SWITCH), timeout=3600)
        return Moved(self._table, counts[0])
