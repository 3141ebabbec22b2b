"""Outcomes that wait for PostgreSQL, by execution; of each node execution only the newest state."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from uuid import UUID

from models.rows import NodeKey, NodeRow
from models.tenancy import TenantId

Owner = tuple[TenantId, UUID]  # a tenant and its execution


def owner_of(row: NodeRow) -> Owner:
    return (row.tenant, row.execution_id)


class OutcomeQueue:
    """First in, first out by execution. `len()` counts outcomes."""

    def __init__(self) -> None:
        self._rows: dict[Owner, dict[NodeKey, NodeRow]] = {}
        self._length = 0

    def __len__(self) -> int:
        return self._length

    @property
    def owners(self) -> list[Owner]:
        return list(self._rows)

    def put(self, row: NodeRow) -> None:
        """Add an outcome; of two of one node execution the one of higher precedence stays, or else the earlier."""
        rows = self._rows.setdefault(owner_of(row), {})
        known = rows.get(row.key)
        if known is None:
            rows[row.key] = row
            self._length += 1
        elif row.precedence > known.precedence:
            rows[row.key] = _laid_over(known, row)
        else:
            rows[row.key] = _laid_over(row, known)

    def take_all(self, owners: Iterable[Owner]) -> list[NodeRow]:
        """Remove and return every outcome of these executions."""
        taken: list[NodeRow] = []
        for owner in owners:
            taken += self._rows.pop(owner, {}).values()
        self._length -= len(taken)
        return taken

    def take_some(self, limit: int) -> list[NodeRow]:
        """Remove and return at most `limit` outcomes of the executions that came first."""
        taken: list[NodeRow] = []
        while self._rows and len(taken) < limit:
            owner, rows = next(iter(self._rows.items()))
            if len(taken) + len(rows) <= limit:
                taken += self._rows.pop(owner).values()
                continue
            for key in list(rows)[: limit - len(taken)]:
                taken.append(rows.pop(key))
        self._length -= len(taken)
        return taken


def newest_of_each(rows: Iterable[NodeRow]) -> list[NodeRow]:
    """Each node execution once, for one statement cannot touch a row twice."""
    queue = OutcomeQueue()
    for row in rows:
        queue.put(row)
    return queue.take_all(queue.owners)


def _laid_over(older: NodeRow, newer: NodeRow) -> NodeRow:
    """The newer row, with what only the older one knows."""
    return replace(
        newer,
        started_at=newer.started_at or older.started_at,
        input=newer.input if newer.input is not None else older.input,
        worker=newer.worker or older.worker,
    )
