"""Leadership: one process of the installation at a time, by a lock that PostgreSQL drops with the connection."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from hashlib import blake2b
from typing import Any

from engine.errors import SystemFault
from models.session import Connection, Database

_LOCK = "SELECT pg_try_advisory_lock($1)"
_UNLOCK = "SELECT pg_advisory_unlock($1)"
_BEGIN = """
    INSERT INTO leadership AS l (kind, epoch, holder, since) VALUES ($1, 1, $2, now())
    ON CONFLICT (kind) DO UPDATE SET epoch = l.epoch + 1, holder = excluded.holder, since = now() RETURNING epoch
"""
_EPOCH = "SELECT epoch FROM leadership WHERE kind = $1"
_ANSWER_S = 3.0


class Term:
    """The time in which this process leads. `epoch` is higher than that of every leader before."""

    def __init__(self, connection: Connection, kind: str, epoch: int) -> None:
        self._connection = connection
        self._kind = kind
        self._listeners: list[tuple[str, Any]] = []
        self.epoch = epoch

    async def check(self) -> None:
        """Raises: SystemFault if the lock's connection is gone, or another process leads by now."""
        async with asyncio.timeout(_ANSWER_S):
            epoch = await self._connection.fetchval(_EPOCH, self._kind)
        if epoch != self.epoch:
            raise SystemFault(f"another process leads now (epoch {epoch}, this one had {self.epoch})")

    async def listen(self, channel: str, heard: Callable[[str], None]) -> None:
        """Call `heard` with the payload of each notification, until the term ends."""

        def notified(_connection: Any, _pid: int, _channel: str, payload: object) -> None:
            heard(str(payload))

        await self._connection.add_listener(channel, notified)
        self._listeners.append((channel, notified))

    async def end(self) -> None:
        """Hear nothing more."""
        for channel, notified in self._listeners:
            await self._connection.remove_listener(channel, notified)


@asynccontextmanager
async def lead(database: Database, kind: str, holder: str) -> AsyncGenerator[Term | None]:
    """Lead in this block, or get None at once if another process does. Raises: SystemFault if PostgreSQL is away."""
    key = int.from_bytes(blake2b(f"leadership {kind}".encode(), digest_size=8).digest(), "big", signed=True)
    async with database.connection() as connection:
        if not await connection.fetchval(_LOCK, key):
            yield None
            return
        term = Term(connection, kind, await connection.fetchval(_BEGIN, kind, holder))
        try:
            yield term
        finally:
            if not connection.is_closed():
                await term.end()
                await connection.fetchval(_UNLOCK, key)
