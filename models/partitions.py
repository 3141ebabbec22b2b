"""Partitions of the record: months created ahead by pg-partsmith.

The first level (LIST by tenant) is made once, by the first migration for everyone and by an operator for a large
tenant; each branch below it is a RANGE by month of the execution's id. pg-partsmith wants at least one named list of
values at a LIST level, and a fresh installation has only the default branch, so it is given the branches one by one.
"""

from __future__ import annotations

import logging

from pg_partsmith import (
    CreateAhead,
    LifecyclePolicy,
    PartitionGranularity,
    RangePartitioning,
    TablePartitionConfig,
    TimeBoundaries,
    UUIDv7BoundaryCodec,
)
from pg_partsmith.aio import PartitionToolkit
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

PARTITIONED = {"execution": "id", "node_execution": "execution_id", "execution_log": "execution_id"}
_log = logging.getLogger(__name__)

_BRANCHES = text("""
    SELECT branch.relname FROM pg_inherits i
      JOIN pg_class branch ON branch.oid = i.inhrelid
     WHERE i.inhparent = to_regclass(:table) AND branch.relkind = 'p' ORDER BY 1
""")
_OPEN_LEAVES = text("""
    SELECT leaf.oid::regclass::text
      FROM pg_class leaf JOIN pg_partition_tree(to_regclass(:table)) t ON t.relid = leaf.oid
     WHERE t.level > 0 AND NOT leaf.relrowsecurity
""")


async def ensure_partitions(engine: AsyncEngine, *, months_ahead: int = 3) -> list[str]:
    """Create this month's partitions and those of the `months_ahead` next, in every branch; say where how many are new.

    Never fails for the state of a branch: what cannot be done is logged, and rows go to the default partition, which
    costs speed and nothing else. Rows that wait there are not moved.
    """
    created: list[str] = []
    toolkit = PartitionToolkit.from_engine(engine)
    for table, key in PARTITIONED.items():
        for branch in await _names(engine, _BRANCHES, table):
            count = await _extend(toolkit, branch, _policy(branch, key, months_ahead))
            created += [f"{branch}: {count}"] if count else []
        await _close_leaves(engine, table)
    return created


async def _extend(toolkit: PartitionToolkit, branch: str, policy: TablePartitionConfig) -> int:
    try:
        outcome = await toolkit.maintainer.run_maintenance(policy, continue_on_error=True)
    except Exception:  # an id in the default partition that is no UUIDv7, a lock held elsewhere: not worth a start
        _log.exception("partitions of %s were not extended", branch)
        return 0
    for issue in outcome.issues:
        _log.warning("partitions of %s: %s", branch, issue)
    return outcome.created_count


def _policy(branch: str, key: str, months_ahead: int) -> TablePartitionConfig:
    months = TimeBoundaries(granularity=PartitionGranularity.MONTH, codec=UUIDv7BoundaryCodec())
    return TablePartitionConfig(
        schema="public",
        table_name=branch,
        scheme=RangePartitioning(key=(key,), boundaries=months),
        lifecycle=LifecyclePolicy(creation=CreateAhead(count=months_ahead + 1)),
    )


async def _names(engine: AsyncEngine, query: object, table: str) -> list[str]:
    async with engine.connect() as connection:
        return [row[0] for row in await connection.execute(query, {"table": f"public.{table}"})]  # pyright: ignore[reportCallIssue,reportArgumentType]


async def _close_leaves(engine: AsyncEngine, table: str) -> None:
    """Rows are reached through the parent's policies alone; a leaf by itself shows nothing, whatever is granted."""
    for leaf in await _names(engine, _OPEN_LEAVES, table):
        async with engine.begin() as connection:
            await connection.execute(text(f"ALTER TABLE {leaf} ENABLE ROW LEVEL SECURITY"))
