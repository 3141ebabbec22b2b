"""What upkeep has done, by kind: counted in the installation's own table, and in the metrics of the process."""

from __future__ import annotations

from collections.abc import Mapping

from models.repositories.records import columns_of, row_of
from models.session import Database
from models.tables import UpkeepCount

_ADD = """
    INSERT INTO upkeep_count AS u (kind, total, last_at)
    SELECT kind, many, clock_timestamp() FROM unnest($1::text[], $2::bigint[]) AS c (kind, many) ORDER BY kind
    ON CONFLICT (kind) DO UPDATE SET total = u.total + excluded.total, last_at = excluded.last_at
"""
_LIST = f"SELECT {columns_of(UpkeepCount)} FROM upkeep_count ORDER BY kind"


class UpkeepCounts:
    """The table `upkeep_count`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, counts: Mapping[str, int]) -> None:
        """Add to the totals; kinds with nothing are left out."""
        done = {kind: count for kind, count in counts.items() if count}
        if done:
            async with self._database.transaction() as transaction:
                await transaction.execute(_ADD, list(done), list(done.values()))

    async def list(self) -> list[UpkeepCount]:
        """All totals, by kind."""
        async with self._database.transaction() as transaction:
            return [row_of(UpkeepCount, record) for record in await transaction.fetch(_LIST)]
