"""Log lines of executions on their way to PostgreSQL, off the critical path.

One writer for each process gathers lines and writes them as one statement. Lines never make a node wait or fail: while
PostgreSQL is away they queue up to a bound of bytes, then debug lines go, and only past a second bound any others. The
log of the execution then says how many were lost.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID

import asyncpg

from engine.errors import SystemFault
from models.repositories.logs import LogLine, Logs
from models.session import Database
from models.tenancy import TenantId

FIRST_BACKOFF_S = 0.1
LONGEST_BACKOFF_S = 2.0
LINE_BYTES = 300  # of a line beside its texts
MAX_LOSERS = 10_000  # executions whose lost lines are counted one by one
REFUSED = (asyncpg.PostgresError, asyncpg.InterfaceError, TypeError, ValueError, OverflowError)
_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Lost:
    """Lines of one execution that were not written."""

    debug: int = 0
    other: int = 0


@dataclass(slots=True)
class LogWriter:
    """Group commit of log lines.

    A line waits `max_delay_ms` at most for company, `max_lines` go at once. Past `debug_bytes` in the queue debug lines
    are dropped, past `max_bytes` all.
    """

    database: Database
    max_delay_ms: float = 200
    max_lines: int = 1000
    debug_bytes: int = 8_000_000
    max_bytes: int = 32_000_000
    written: int = field(default=0, init=False)
    dropped: int = field(default=0, init=False)
    _queue: deque[LogLine] = field(default_factory=deque[LogLine], init=False)
    _bytes: int = field(default=0, init=False)
    _debug_lines: int = field(default=0, init=False)
    _lost: dict[tuple[TenantId, UUID], _Lost] = field(default_factory=dict[tuple[TenantId, UUID], _Lost], init=False)
    _work: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    _urgent: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    _idle: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    _writer: asyncio.Task[None] | None = field(default=None, init=False)
    _closed: bool = field(default=False, init=False)

    @property
    def queued(self) -> int:
        """Lines that are not written yet, those in flight left out."""
        return len(self._queue)

    def write(self, line: LogLine) -> None:
        """Take a line. Never waits, never fails."""
        size = _size(line)
        if self._bytes + size > self.debug_bytes and self._debug_lines:
            self._drop_debug_lines()
        bound = self.debug_bytes if line.level == "debug" else self.max_bytes
        if self._closed or self._bytes + size > bound:
            self._lose(line)
            return
        self._queue.append(line)
        self._bytes += size
        self._debug_lines += line.level == "debug"
        self._wake()

    async def flush(self, *, timeout_s: float = 10) -> None:
        """Return once every line taken so far is written. Raises: SystemFault after `timeout_s`."""
        if self._writer is None:
            return
        self._urgent.set()
        try:
            async with asyncio.timeout(timeout_s):
                await self._idle.wait()
        except TimeoutError:
            raise SystemFault(f"{self.queued} log lines wait for PostgreSQL") from None

    async def close(self, *, timeout_s: float = 10) -> None:
        """Write everything and stop; what cannot be written in time is lost, and this process's log says how much."""
        try:
            await self.flush(timeout_s=timeout_s)
        except SystemFault as fault:
            _log.error("%s and are lost", fault)
        finally:
            self._closed = True
            if self._writer is not None:
                self._writer.cancel()
                await asyncio.gather(self._writer, return_exceptions=True)

    # ---- what has no room

    def _drop_debug_lines(self) -> None:
        kept: deque[LogLine] = deque()
        for line in self._queue:
            if line.level == "debug":
                self._bytes -= _size(line)
                self._lose(line)
            else:
                kept.append(line)
        self._queue, self._debug_lines = kept, 0

    def _lose(self, line: LogLine) -> None:
        self.dropped += 1
        key = (line.tenant, line.execution_id)
        if key not in self._lost and len(self._lost) >= MAX_LOSERS:
            return
        lost = self._lost.setdefault(key, _Lost())
        if line.level == "debug":
            lost.debug += 1
        else:
            lost.other += 1

    def _notices(self) -> list[LogLine]:
        """A line for each execution that lost some; whoever reads its log must know."""
        lost, self._lost = self._lost, {}
        if lost:
            _log.warning("log lines of %d executions were lost: no room while PostgreSQL was away", len(lost))
        return [
            LogLine(
                tenant,
                execution_id,
                "warning",
                f"{count.debug + count.other} log lines were lost: the record could not be written for a while",
                fields={"debug": count.debug, "other": count.other},
            )
            for (tenant, execution_id), count in lost.items()
        ]

    # ---- the writer

    def _wake(self) -> None:
        self._idle.clear()
        if self._writer is None:
            self._writer = asyncio.create_task(self._write_forever(), name="log writer")
        self._work.set()
        if len(self._queue) >= self.max_lines:
            self._urgent.set()

    async def _write_forever(self) -> None:
        backoff_s = FIRST_BACKOFF_S
        while True:
            await self._gather_company()
            batch = self._take()
            try:
                await self._append(batch)
            except asyncio.CancelledError:
                raise
            except Exception as fault:  # whatever it is, the lines stay and the writer lives
                self._put_back(batch)
                _log.warning("log lines wait, next try in %.1f s: %s: %s", backoff_s, type(fault).__name__, fault)
                await asyncio.sleep(backoff_s)
                backoff_s = min(backoff_s * 2, LONGEST_BACKOFF_S)
            else:
                backoff_s = FIRST_BACKOFF_S
                self._settle(batch)

    async def _gather_company(self) -> None:
        await self._work.wait()
        if not self._urgent.is_set():
            try:
                async with asyncio.timeout(self.max_delay_ms / 1000):
                    await self._urgent.wait()
            except TimeoutError:
                pass
        self._work.clear()
        self._urgent.clear()

    def _take(self) -> list[LogLine]:
        batch = [self._queue.popleft() for _ in range(min(len(self._queue), self.max_lines))]
        self._debug_lines -= sum(line.level == "debug" for line in batch)
        return batch

    def _put_back(self, batch: Sequence[LogLine]) -> None:
        self._queue.extendleft(reversed(batch))
        self._debug_lines += sum(line.level == "debug" for line in batch)
        self._work.set()
        self._urgent.set()

    def _settle(self, batch: Sequence[LogLine]) -> None:
        self.written += len(batch)
        self._bytes -= sum(map(_size, batch))
        for notice in self._notices():
            self._queue.append(notice)
            self._bytes += _size(notice)
        if self._queue:
            self._work.set()
            self._urgent.set()
        else:
            self._idle.set()

    async def _append(self, batch: Sequence[LogLine]) -> None:
        """One transaction; if PostgreSQL refuses the content of a line, one for each."""
        logs = Logs(self.database)
        try:
            await logs.append(batch)
        except REFUSED as error:
            _log.warning("lines were refused, writing one by one: %s: %s", type(error).__name__, error)
            for line in batch:
                await self._append_one(logs, line)

    async def _append_one(self, logs: Logs, line: LogLine) -> None:
        try:
            await logs.append([line])
        except REFUSED as error:
            _log.error("a log line of %s cannot be stored: %s", line.execution_id, error)
            self._lose(line)


def _size(line: LogLine) -> int:
    """About what a line takes in memory; its fields were bounded where it was made."""
    return LINE_BYTES + len(line.message) + (0 if line.fields is None else 10 * LINE_BYTES)
