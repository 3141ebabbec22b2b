"""UUIDv7 ids: they sort by the time in their first 48 bits, and the partitions of the record rely on it."""

from __future__ import annotations

from datetime import UTC, datetime
from hashlib import blake2b
from uuid import UUID

from uuid_utils.compat import uuid7


def new_id() -> UUID:
    """A fresh UUIDv7; increasing within a process."""
    return uuid7()


def id_of_fire(fired_at: datetime, origin: str) -> UUID:
    """The one id of a start that is due at `fired_at` because of `origin`; asking twice gives the same id.

    `fired_at` is aware and cut to milliseconds; `origin` names what fired (a schedule's or an event's id).
    """
    milliseconds = int(fired_at.timestamp() * 1000) & ((1 << 48) - 1)
    tail = int.from_bytes(blake2b(f"{milliseconds}|{origin}".encode(), digest_size=10).digest(), "big")
    high, low = tail >> 68, tail & ((1 << 62) - 1)
    return UUID(int=milliseconds << 80 | 0x7 << 76 | high << 64 | 0b10 << 62 | low)


def id_of_name(name: str) -> UUID:
    """The one id of what has no time of its own, such as the row of a timer node; it sorts before every other."""
    return id_of_fire(datetime.fromtimestamp(0, UTC), name)


def time_of_id(identifier: UUID) -> datetime:
    """The time inside a UUIDv7, in UTC, to the millisecond."""
    return datetime.fromtimestamp((identifier.int >> 80) / 1000, UTC)
