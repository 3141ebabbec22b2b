"""Where a reader of changes stands: exactly which transactions it has seen.

Numbers out of a sequence are given before a transaction commits, so that a reader who remembers the largest one misses
what commits later with a smaller one. A snapshot of PostgreSQL has no such gap: it says of every transaction whether it
was over. A reader keeps one, and takes rows whose last change is not in it. Nobody who writes waits for anybody, and a
long transaction elsewhere delays nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self
from uuid import UUID

VERSION = "1"
NODE, EXECUTION = 0, 1  # the order of the changes of one transaction: an execution ends behind its nodes
NOBODY = UUID(int=0)
MAX_CURSOR_CHARS = 8000
_TOP = 2**62
_EPOCH = 2**32


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Transactions below `ceiling` are over, but those in `running`; the others have not begun."""

    ceiling: int = 1
    running: frozenset[int] = frozenset()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a `pg_snapshot`."""
        _, ceiling, running = text.split(":")
        return cls(int(ceiling), frozenset(int(one) for one in running.split(",") if one))

    def __str__(self) -> str:
        """As PostgreSQL reads it."""
        # No transaction has a number whose lower half is below 3, and PostgreSQL reads none that is 0.
        ceiling = self.ceiling if self.ceiling % _EPOCH else self.ceiling + 3
        floor = min(self.running, default=ceiling)
        return f"{floor}:{ceiling}:{','.join(map(str, sorted(self.running)))}"

    def __contains__(self, transaction: int) -> bool:
        return transaction < self.ceiling and transaction not in self.running

    def with_transaction(self, transaction: int) -> Snapshot:
        """The same with one transaction more that is over: one of those that run, or the first that has not begun."""
        return Snapshot(max(self.ceiling, transaction + 1), self.running - {transaction})

    def up_to(self, bound: int, now: Snapshot) -> Snapshot:
        """This one, and of the transactions below `bound` all that are over in `now`."""
        left = frozenset(one for one in self.running if one >= bound or one in now.running)
        new = frozenset(one for one in now.running if self.ceiling <= one < bound)
        return Snapshot(max(self.ceiling, bound), left | new)


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """A change among those of its transaction."""

    kind: int = NODE
    seq: int = 0  # of a node execution
    id: UUID = NOBODY  # of an execution


@dataclass(frozen=True, slots=True)
class ChangeCursor:
    """All changes in `seen`, those of `partly` up to `place`, and log lines up to `log_seq`.

    `at_s` is when the snapshot was taken, in seconds since the epoch by PostgreSQL's clock.
    """

    seen: Snapshot = Snapshot()
    partly: int | None = None
    place: Place = Place()
    log_seq: int = 0
    at_s: int = 0

    def __str__(self) -> str:
        floor = min(self.seen.running, default=self.seen.ceiling)
        gaps = "-".join(f"{one - floor:x}" for one in sorted(self.seen.running))
        place = ""
        if self.partly is not None:
            which = f"{self.place.seq:x}" if self.place.kind == NODE else self.place.id.hex
            place = f"{self.partly:x}-{self.place.kind}-{which}"
        return ".".join((VERSION, f"{floor:x}", f"{self.seen.ceiling:x}", gaps, place, f"{self.log_seq:x}",
                         f"{self.at_s:x}"))  # fmt: skip

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises: ValueError if the text is no cursor."""
        if len(text) > MAX_CURSOR_CHARS:
            raise ValueError("too long")
        version, floor, ceiling, gaps, place, log_seq, at_s = text.split(".")
        if version != VERSION:
            raise ValueError(f"version {version[:10]}")
        base, top = _number(floor), _number(ceiling)
        running = frozenset(base + _number(gap) for gap in gaps.split("-") if gap)
        if top < 1 or any(one >= top or one % _EPOCH == 0 for one in running):
            raise ValueError("no snapshot")
        partly, known = _place(place)
        if partly is not None and partly != top and partly not in running:
            raise ValueError("no part of this snapshot")
        return cls(Snapshot(top, running), partly, known, _number(log_seq), _number(at_s))

    def behind(self, page: Sequence[tuple[int, Place]], now: Snapshot, at_s: int, *, whole: bool) -> list[ChangeCursor]:
        """The cursor behind each change of a page that was read in `now`, in its order: what is left of the transaction
        seen in part, then the other transactions as they began.

        `whole`: the page holds everything that there was.
        """
        cursors: list[ChangeCursor] = []
        done = self.seen
        if self.partly is not None and page and page[0][0] != self.partly:
            done = done.with_transaction(self.partly)  # nothing was left of it
        for number, (transaction, place) in enumerate(page):
            is_last = number + 1 == len(page)
            ends = whole if is_last else page[number + 1][0] != transaction
            resumed = transaction == self.partly
            if ends:
                after = done.with_transaction(transaction) if resumed else done.up_to(transaction + 1, now)
                cursors.append(ChangeCursor(after, log_seq=self.log_seq, at_s=self.at_s))
                done = after if resumed else done
            else:
                before = done if resumed else done.up_to(transaction, now)
                cursors.append(ChangeCursor(before, transaction, place, self.log_seq, self.at_s))
        if whole and cursors:
            cursors[-1] = ChangeCursor(now, log_seq=self.log_seq, at_s=at_s)
        return cursors

    def with_log(self, log_seq: int) -> ChangeCursor:
        """The same behind a log line."""
        return replace(self, log_seq=log_seq)


def _place(text: str) -> tuple[int | None, Place]:
    if not text:
        return None, Place()
    transaction, kind, which = text.split("-")
    if kind == str(NODE):
        return _number(transaction), Place(NODE, _number(which))
    if kind != str(EXECUTION):
        raise ValueError(f"kind {kind[:10]}")
    return _number(transaction), Place(EXECUTION, 0, UUID(which))


def _number(text: str) -> int:
    number = int(text, 16)
    if not 0 <= number < _TOP or text[:1] in "+-_":
        raise ValueError("out of range")
    return number
