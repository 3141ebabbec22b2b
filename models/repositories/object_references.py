"""Which objects the rows of a tenant refer to; for the sweeper alone.

Every text of 64 hexadecimal digits in a column of JSON counts as a reference, wherever it stands: too many are kept
rather than one too few, and a table that is added later is looked through as well.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import datetime

from models.session import Connection, Database
from models.tenancy import TenantId

_COLUMNS = """
    SELECT c.relname, a.attname FROM pg_class c
      JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
     WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relnamespace = 'public'::regnamespace
       AND a.atttypid IN ('json'::regtype, 'jsonb'::regtype) AND has_table_privilege(c.oid, 'SELECT')
       AND EXISTS (SELECT FROM pg_attribute t WHERE t.attrelid = c.oid AND t.attname = 'tenant_id')
     ORDER BY 1, 2
"""
_PART = """SELECT (regexp_matches("{column}"::text, '(?<![0-9a-f])[0-9a-f]{{64}}(?![0-9a-f])', 'g'))[1] AS sha256
             FROM "{table}" WHERE tenant_id = '{tenant}' AND "{column}" IS NOT NULL"""
_OLDEST = "SELECT min(created_at) FROM execution WHERE tenant_id = $1 AND finished_at IS NULL"
_SCAN_S = 6 * 3600  # as long as a large tenant takes; nothing waits for it
_FETCH = 5000


class References:
    """References in ascending order, read as far as they are asked for; PostgreSQL holds them, on disk if need be."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._read: list[str] = []
        self._ended = False

    async def beginning_with(self, digits: str) -> set[str]:
        """Those that begin with two digits; to be asked for in ascending order."""
        found: set[str] = set()
        while True:
            place = next((i for i, one in enumerate(self._read) if one[:2] > digits), len(self._read))
            found.update(one for one in self._read[:place] if one[:2] == digits)
            self._read = self._read[place:]
            if self._read or self._ended:
                return found
            self._read = [row[0] for row in await self._connection.fetch(f"FETCH {_FETCH} FROM referred")]
            self._ended = not self._read


class ObjectReferences:
    """Reads the tables that hold Values, whichever they are."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def oldest_open(self, tenant: TenantId) -> datetime | None:
        """When the oldest execution that is not over was made; None if all are over."""
        async with self._database.transaction(tenant) as transaction:
            return await transaction.fetchval(_OLDEST, tenant.uuid)

    @asynccontextmanager
    async def of(self, tenant: TenantId) -> AsyncGenerator[References]:
        """The references at this moment. Holds a connection, but no transaction, for as long as the block lasts."""
        async with self._database.connection() as connection:
            columns = await connection.fetch(_COLUMNS)
            parts = [_PART.format(table=row[0], column=row[1], tenant=tenant) for row in columns]
            query = f"SELECT DISTINCT sha256 FROM ({' UNION ALL '.join(parts)}) AS r ORDER BY 1"
            begun = f"BEGIN; SELECT set_config('structforge.tenants', '{{{tenant}}}', true);"
            # `WITH HOLD` keeps what was found beyond the transaction.
            await connection.execute(
                f"{begun} DECLARE referred NO SCROLL CURSOR WITH HOLD FOR {query}; COMMIT", timeout=_SCAN_S
            )
            try:
                yield References(connection)
            finally:
                if not connection.is_closed():
                    await connection.execute("CLOSE referred")
