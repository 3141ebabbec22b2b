"""Outcome: what came of a piece of work, in memory and as it stands in Temporal history."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from engine.dag.values import NULL, Value

Settled = Literal["success", "failed", "skipped", "pruned", "cancelled"]
TERMINAL = ("success", "failed", "skipped", "pruned", "cancelled")
_CODES = {"success": 0, "failed": 1, "skipped": 2, "cancelled": 3, "left": 4}
_NAMES = {code: name for name, code in _CODES.items()}


@dataclass(slots=True)
class Outcome:
    """The result of one piece of work.

    `status` is success, failed, skipped or cancelled; `left` says that a region hands a local node back to be
    tried as its own activity. `data` is what the emitted port carries when that is not the output. Times are seconds
    since the epoch, UTC. `opened` holds what opening a container or closing a pass found out.
    """

    status: str
    output: Value = field(default_factory=lambda: NULL)
    port: str | None = None
    data: Value | None = None
    error: dict[str, Any] | None = None
    attempts: int = 1
    assigned: dict[str, Value] | None = None
    started_at: float = 0.0
    finished_at: float = 0.0
    reason: str | None = None
    opened: dict[str, Any] | None = None
    generation: int = 0  # the highest generation used inside a container
    closed: bool = False  # the activity has closed the record of the execution too
    cached: bool = False  # the result was there already; known to the activity alone, for its row

    def to_wire(self) -> list[Any]:
        """A list in a fixed order without its trailing empty places; only ever added to at the end."""
        row: list[Any] = [
            _CODES[self.status],
            self.output if self.output is not NULL else 0,
            self.started_at,
            self.finished_at,
            self.attempts,
            self.port or 0,
            self.data or 0,
            self.error or 0,
            self.assigned or 0,
            self.reason or 0,
            self.opened or 0,
            self.generation,
            int(self.closed),
        ]
        while row[-1] == 0:
            row.pop()
        return row

    @classmethod
    def from_wire(cls, row: list[Any]) -> Outcome:
        row = row + [0] * (13 - len(row))
        return cls(
            status=_NAMES[row[0]],
            output=row[1] or NULL,
            started_at=row[2],
            finished_at=row[3],
            attempts=row[4],
            port=row[5] or None,
            data=row[6] or None,
            error=row[7] or None,
            assigned=row[8] or None,
            reason=row[9] or None,
            opened=row[10] or None,
            generation=row[11],
            closed=bool(row[12]),
        )


def failed(error: dict[str, Any], *, attempts: int = 1, started_at: float = 0.0, finished_at: float = 0.0) -> Outcome:
    return Outcome("failed", error=error, attempts=attempts, started_at=started_at, finished_at=finished_at)


def error_dict(
    code: str, message: str, details: dict[str, Any] | None = None, *, retryable: bool = False
) -> dict[str, Any]:
    """An error as it is recorded and as expressions see it."""
    return {"code": code, "message": message, "details": details or {}, "retryable": retryable}
