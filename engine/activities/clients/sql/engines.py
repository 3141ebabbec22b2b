"""One pool of connections for each database in use; few, and closed when nobody has asked for a while."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, cast

from sqlalchemy import event
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from engine.activities.clients.sql import mysql, postgresql
from engine.activities.clients.sql.targets import Target
from engine.errors import RESOURCE_EXHAUSTED, NodeError

PING_AFTER_S = 2.0


@dataclass(slots=True)
class _Entry:
    engine: AsyncEngine
    users: int = 0
    used_at: float = field(default_factory=time.monotonic)


class Engines:
    """The pools of servers. At most `most` databases with `pool_size` connections each; a pool that nobody used for
    `idle_s` is closed."""

    def __init__(self, *, most: int = 50, pool_size: int = 5, idle_s: float = 120.0) -> None:
        self._most, self._pool_size, self._idle_s = most, pool_size, idle_s
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        self._sweeper: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        return len(self._entries)

    @asynccontextmanager
    async def lease(self, target: Target) -> AsyncGenerator[AsyncEngine]:
        """The pool of a database, which is not closed meanwhile.

        Raises: NodeError RESOURCE_EXHAUSTED if too many databases are in use at once.
        """
        entry = self._entries.get(target.key)
        if entry is None:
            unused = await self._make_room()
            entry = self._entries[target.key] = _Entry(self._open(target))
            for engine in unused:
                await engine.dispose()
        entry.users += 1
        self._entries.move_to_end(target.key)
        if self._sweeper is None:
            self._sweeper = asyncio.create_task(self._sweep())
        try:
            yield entry.engine
        finally:
            entry.users -= 1
            entry.used_at = time.monotonic()

    async def aclose(self) -> None:
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
        while self._entries:
            await self._entries.popitem()[1].engine.dispose()

    async def _make_room(self) -> list[AsyncEngine]:
        if len(self._entries) < self._most:
            return []
        idle = next((key for key, entry in self._entries.items() if entry.users == 0), None)
        if idle is None:
            raise NodeError(
                f"this worker is connected to {self._most} databases already", code=RESOURCE_EXHAUSTED, retryable=True
            )
        return [self._entries.pop(idle).engine]

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(self._idle_s / 2)
            before = time.monotonic() - self._idle_s
            idle = [key for key, entry in self._entries.items() if entry.users == 0 and entry.used_at < before]
            for engine in [self._entries.pop(key).engine for key in idle]:
                await engine.dispose()

    def _open(self, target: Target) -> AsyncEngine:
        arguments = dict(target.connect_args)
        if target.dialect == "mysql":
            arguments["async_creator_fn"] = mysql.connect
        engine = create_async_engine(
            target.url, connect_args=arguments, pool_size=self._pool_size, max_overflow=0, pool_timeout=600
        )
        if target.dialect == "postgresql":
            event.listen(engine.sync_engine, "connect", _teach)
        event.listen(engine.sync_engine, "checkin", _note_time)
        event.listen(engine.sync_engine, "checkout", _check_alive)
        return engine


def _teach(connection: Any, record: Any) -> None:
    connection.run_async(postgresql.prepare_connection)


def _note_time(connection: Any, record: Any) -> None:
    record.info["returned_at"] = time.monotonic()


def _check_alive(connection: Any, record: Any, proxy: Any) -> None:
    """A connection that lay idle may be dead: the pool then opens another one."""
    returned_at = record.info.get("returned_at")
    if returned_at is None or time.monotonic() - returned_at < PING_AFTER_S:
        return
    try:
        cast("Callable[[], None]", connection.ping)()
    except Exception:
        raise DisconnectionError from None
