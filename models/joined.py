"""Several transactions made one: all of them are on record, or none is.

Repositories each begin a transaction of their own. Inside `Database.joined()` those that the same task begins become
parts of one, each a savepoint with its own tenants and purpose, so that a change, its entry in the audit log and the
reply that is kept for it cannot be torn apart.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from contextvars import ContextVar
from typing import Any

Begin = Callable[[], AbstractAsyncContextManager[Any]]
_joined: ContextVar[Joined | None] = ContextVar("joined_transaction", default=None)


class Joined:
    """One transaction of one task. `begin` opens it; it is opened when the first part needs it."""

    def __init__(self, begin: Begin) -> None:
        self._begin = begin
        self._task = asyncio.current_task()
        self._connection: Any = None
        self._opened: AbstractAsyncContextManager[Any] | None = None
        self._settings: list[str] = []  # of the parts that are under way, the innermost last
        self._count = 0

    @property
    def is_mine(self) -> bool:
        """Whether the running task is the one whose transactions are joined: others have connections of their own."""
        return asyncio.current_task() is self._task

    @asynccontextmanager
    async def part(self, settings: str) -> AsyncGenerator[Any]:
        """A savepoint. `settings` are calls of set_config, in force until the part ends, however it ends."""
        connection = await self._open()
        self._count += 1
        name = f"part_{self._count}"
        await connection.execute(f"SAVEPOINT {name}; SELECT {settings}")
        self._settings.append(settings)
        try:
            yield connection
        except BaseException:
            self._settings.pop()
            await self._undo(connection, name)
            raise
        self._settings.pop()
        # What set_config sets outlives a savepoint that is released, so the part around this one gets its own again.
        around = f"; SELECT {self._settings[-1]}" if self._settings else ""
        await connection.execute(f"RELEASE SAVEPOINT {name}{around}")

    async def close(self, error: BaseException | None) -> None:
        """Commit, or roll back for an error."""
        if self._opened is not None:
            kind = None if error is None else type(error)
            await self._opened.__aexit__(kind, error, None if error is None else error.__traceback__)

    async def _open(self) -> Any:
        if self._opened is None:
            opened = self._begin()
            self._connection = await opened.__aenter__()
            self._opened = opened
        return self._connection

    async def _undo(self, connection: Any, name: str) -> None:
        if not connection.is_closed():
            await connection.execute(f"ROLLBACK TO SAVEPOINT {name}; RELEASE SAVEPOINT {name}")


def current() -> Joined | None:
    """The joined transaction of the running task, None outside one."""
    joined = _joined.get()
    return joined if joined is not None and joined.is_mine else None


@asynccontextmanager
async def joining(begin: Begin) -> AsyncGenerator[None]:
    """Join what the task begins inside the block; one that is under way already is gone on with."""
    if current() is not None:
        yield
        return
    joined = Joined(begin)
    token = _joined.set(joined)
    try:
        yield
    except BaseException as error:
        await joined.close(error)
        raise
    else:
        await joined.close(None)
    finally:
        _joined.reset(token)
