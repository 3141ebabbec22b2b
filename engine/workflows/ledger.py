"""Ledger: every node execution that has ended, until PostgreSQL is known to have it."""

from __future__ import annotations

from typing import Any

from engine.dag.digest import MODULUS, row_digest
from engine.dag.state import Settled
from engine.dag.values import wire_size

Key = tuple[str, tuple[int, ...], int]
ROWS_LIMIT_BYTES = 900_000


class Ledger:
    """Counts what must be recorded; `held` rows can be sent again, `unsent` ones no activity has recorded."""

    def __init__(self) -> None:
        self.count = 0
        self.digest = 0
        self.held: dict[Key, list[Any]] = {}
        self.unsent: dict[Key, None] = {}
        self.statuses: dict[str, int] = {}  # how many of each, replaced ones included
        self._roots: dict[Key, int] = {}  # digests of rows that another attempt may replace

    def add(self, settled: Settled, attempt: int, *, recorded: bool) -> None:
        """Take a node execution that has ended; `recorded` says that the activity that ran it records it."""
        node, state = settled.node, settled.state
        key = (node.path, settled.iteration, state.generation)
        digest = row_digest(*key, state.status, state.attempts)
        self._count(key, digest, may_be_replaced=not settled.iteration)
        self.statuses[state.status] = self.statuses.get(state.status, 0) + 1
        self.held[key] = [
            node.path, node.type, state.status, list(settled.iteration), state.generation, state.reason,
            state.attempts, attempt, state.port, state.started_at, state.finished_at, state.output, state.error,
            state.assigned,
        ]  # fmt: skip
        if recorded:
            self.unsent.pop(key, None)
        else:
            self.unsent[key] = None

    def _count(self, key: Key, digest: int, *, may_be_replaced: bool) -> None:
        if may_be_replaced:
            old = self._roots.get(key)
            self._roots[key] = digest
            if old is not None:
                self.digest = (self.digest - old + digest) % MODULUS
                return
        self.count += 1
        self.digest = (self.digest + digest) % MODULUS

    def add_inner(self, count: int, digest: int) -> None:
        """Take rows that a region or a shard has recorded and confirmed."""
        self.count += count
        self.digest = (self.digest + digest) % MODULUS

    def take_unsent(self, limit_bytes: int = ROWS_LIMIT_BYTES) -> list[list[Any]]:
        """Rows to send along with the next activity, about `limit_bytes` of them; they count as sent."""
        return self._take(self.unsent, limit_bytes)

    def missing(self, present: list[list[Any]]) -> dict[Key, None]:
        """Held rows that are not among those that the record has, by key and digest."""
        known = {(row[0], tuple(row[1]), row[2]): row[3] for row in present}
        return {key: None for key, row in self.held.items() if known.get(key) != row_digest(*key, row[2], row[6])}

    def take_missing(self, keys: dict[Key, None], limit_bytes: int = ROWS_LIMIT_BYTES) -> list[list[Any]]:
        return self._take(keys, limit_bytes)

    def _take(self, keys: dict[Key, None], limit_bytes: int) -> list[list[Any]]:
        rows: list[list[Any]] = []
        size = 0
        while keys and size < limit_bytes:
            key = next(iter(keys))
            del keys[key]
            row = self.held[key]
            rows.append(row)
            size += 200 + _size(row)
        return rows

    def confirmed(self) -> None:
        """PostgreSQL has everything so far."""
        self.held.clear()
        self.unsent.clear()

    def to_wire(self) -> list[Any]:
        """Counts and replaceable digests; only taken when everything is confirmed."""
        return [self.count, self.digest, [[*key, digest] for key, digest in self._roots.items()]]

    @classmethod
    def from_wire(cls, wire: list[Any]) -> Ledger:
        ledger = cls()
        ledger.count, ledger.digest = wire[0], wire[1]
        ledger._roots = {(row[0], tuple(row[1]), row[2]): row[3] for row in wire[2]}
        return ledger


def _size(row: list[Any]) -> int:
    return wire_size(row[11]) + (len(str(row[12])) if row[12] else 0)
