"""The recorder: outcomes of node executions on their way to PostgreSQL, off the critical path.

One writer for each process gathers outcomes for a few milliseconds and writes them as one statement; whoever needs
them durable asks, and the writer goes at once. Closings of executions ride along, so that many of them share a commit.
When PostgreSQL is away nothing is lost: the rows wait here, and Temporal holds the same outcomes.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Coroutine, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

import asyncpg

from engine.activities.clients.redis_live import LiveView
from engine.activities.outcome_queue import OutcomeQueue, Owner, newest_of_each, owner_of
from engine.errors import SystemFault
from engine.telemetry import metrics
from models.repositories.node_executions import NodeExecutions
from models.rows import (
    Attempts,
    Confirmation,
    Finish,
    FinishResult,
    Message,
    NodeKey,
    NodeRow,
    Present,
    Scope,
)
from models.session import Database
from models.tenancy import TenantId

__all__ = [
    "Attempts",
    "Confirmation",
    "Finish",
    "FinishResult",
    "Message",
    "NodeRow",
    "Present",
    "Recorder",
    "Scope",
]

FIRST_BACKOFF_S = 0.05
LONGEST_BACKOFF_S = 2.0
MAX_FINISHES = 200  # in one transaction
# What PostgreSQL or the codec says of content that cannot be stored, as opposed to "away", which is a SystemFault.
REFUSED = (asyncpg.PostgresError, asyncpg.InterfaceError, TypeError, ValueError, OverflowError)
_log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class _Request:
    """Someone waits until the rows of these executions are durable, and `settled` and `finish` are done."""

    owners: frozenset[Owner]
    settled: tuple[NodeRow, ...] = ()
    finish: Finish | None = None
    answer: asyncio.Future[FinishResult | None] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )


@dataclass(slots=True)
class _Batch:
    rows: list[NodeRow]
    requests: list[_Request]

    @property
    def finishing(self) -> list[_Request]:
        return [request for request in self.requests if request.finish is not None]


class Recorder:
    """Group commit of node outcomes, and the closing of executions.

    `max_delay_ms` bounds how long an outcome waits for company, `max_rows` how many go at once, `max_queued` how many
    may wait before `record` refuses. `observe` is told rows that are committed, and how long the oldest had waited.
    """

    def __init__(
        self,
        database: Database,
        *,
        live: LiveView | None = None,
        observe: Callable[[list[NodeRow], float], None] | None = None,
        max_delay_ms: float = 50,
        max_rows: int = 1000,
        max_queued: int = 50_000,
    ) -> None:
        self._nodes = NodeExecutions(database)
        self._live = live
        self._observe = observe
        self._waiting_since: float | None = None  # of the oldest row in the queue, about
        self._taken_since: float | None = None
        self._max_delay_s = max_delay_ms / 1000
        self._max_rows = max_rows
        self._max_queued = max_queued
        self._queue = OutcomeQueue()
        self._in_flight: set[Owner] = set()
        self._requests: list[_Request] = []
        self._work = asyncio.Event()  # there is something to write
        self._urgent = asyncio.Event()  # someone waits for it, or a batch is full
        self._room = asyncio.Event()
        self._room.set()
        self._writer: asyncio.Task[None] | None = None
        self._closed = False
        self.written = 0
        self.retries = 0
        self.stripped = 0

    @property
    def queued(self) -> int:
        """Outcomes that are not durable yet, those in flight left out."""
        return len(self._queue)

    def record(self, row: NodeRow) -> None:
        """Take an outcome; it is written soon. Never waits.

        Raises: SystemFault if too many outcomes wait already, which happens only while PostgreSQL is away.
        """
        if len(self._queue) >= self._max_queued:
            raise SystemFault(f"{len(self._queue)} outcomes wait for PostgreSQL already")
        self._queue.put(row)
        self._wake()

    async def record_when_room(self, row: NodeRow) -> None:
        """Like `record`, but waits while too many outcomes are queued."""
        while len(self._queue) >= self._max_queued:
            self._room.clear()
            self._wake()
            await self._room.wait()
        self.record(row)

    async def record_now(self, rows: Iterable[NodeRow], *, timeout_s: float = 30) -> None:
        """Take outcomes and return once they are committed. Raises: SystemFault after `timeout_s`; they stay queued."""
        owners: set[Owner] = set()
        for row in rows:
            self._queue.put(row)
            owners.add(owner_of(row))
        if owners:
            await self._ask(_Request(frozenset(owners)), timeout_s)

    async def settle(self, rows: Iterable[NodeRow], *, timeout_s: float = 30) -> None:
        """Commit outcomes on the interpreter's word: they replace what a worker wrote in the same execution attempt.

        Raises: SystemFault after `timeout_s`.
        """
        settled = tuple(rows)
        if settled:
            await self._ask(_Request(frozenset(map(owner_of, settled)), settled), timeout_s)

    async def flush(self, execution_id: UUID | None = None, *, timeout_s: float = 30) -> None:
        """Return once everything recorded so far, of one execution or of all, is committed.

        Raises: SystemFault after `timeout_s`; the rows stay queued and are still written when PostgreSQL is back.
        """
        waiting = {*self._queue.owners, *self._in_flight}
        owners = frozenset(owner for owner in waiting if execution_id in (None, owner[1]))
        if owners:
            await self._ask(_Request(owners), timeout_s)

    async def finish(self, request: Finish, *, timeout_s: float = 30) -> FinishResult:
        """Close an execution, with what is still queued of it and `request.rows` in the same transaction.

        Not closed means that the database holds other outcomes than were counted: send what `present` lacks. Closing
        again is answered with the first closing's status.
        Raises: NotFound if there is no such execution; SystemFault if PostgreSQL does not answer in time.
        """
        answer = await self._ask(
            _Request(frozenset({(request.tenant, request.execution_id)}), request.rows, request), timeout_s
        )
        assert answer is not None
        return answer

    async def confirm(
        self, tenant: TenantId, execution_id: UUID, count: int, digest: int, scope: Scope | None = None
    ) -> Confirmation:
        """Whether the database holds exactly these terminal outcomes; writes what is queued of the execution first."""
        await self.flush(execution_id)
        return await self._nodes.confirm(tenant, execution_id, count, digest, scope)

    async def node_attempts(
        self,
        tenant: TenantId,
        execution_id: UUID,
        node_path: str,
        iteration: tuple[int, ...] = (),
        generation: int = 0,
    ) -> Attempts | None:
        """The durable counter of a node execution's attempts, and its outcome if it has one; None if never begun."""
        await self.flush(execution_id)
        return await self._nodes.attempts(tenant, execution_id, node_path, iteration, generation)

    async def checkpoints(
        self,
        tenant: TenantId,
        execution_id: UUID,
        node_paths: Collection[str],
        first: tuple[int, ...],
        last: tuple[int, ...],
    ) -> dict[NodeKey, Attempts]:
        """The same of many nodes at once, those of the paths from one iteration to another, by key."""
        await self.flush(execution_id)
        return await self._nodes.checkpoints(tenant, execution_id, node_paths, first, last)

    async def close(self, *, timeout_s: float = 10) -> None:
        """Write everything and stop. Raises: SystemFault if it cannot be written in time."""
        try:
            await self.flush(timeout_s=timeout_s)
        finally:
            self._closed = True
            if self._writer is not None:
                self._writer.cancel()
                await asyncio.gather(self._writer, return_exceptions=True)

    async def _ask(self, request: _Request, timeout_s: float) -> FinishResult | None:
        self._requests.append(request)
        self._wake(urgent=True)
        try:
            async with asyncio.timeout(timeout_s):
                return await request.answer
        except TimeoutError:
            raise SystemFault(f"PostgreSQL has not taken the outcomes within {timeout_s:g} s") from None

    def _wake(self, *, urgent: bool = False) -> None:
        if self._closed:
            raise SystemFault("the recorder is closed")
        if self._writer is None:
            self._writer = asyncio.create_task(self._write_forever(), name="recorder")
        self._work.set()
        if self._waiting_since is None:
            self._waiting_since = time.monotonic()
        if urgent or len(self._queue) >= self._max_rows:
            self._urgent.set()

    async def _write_forever(self) -> None:
        backoff_s = FIRST_BACKOFF_S
        while True:
            await self._gather_company()
            batch = self._take()
            try:
                answers = await self._write(batch)
            except asyncio.CancelledError:
                self._put_back(batch)
                raise
            except Exception as fault:  # whatever it is, the rows stay and the writer lives
                self._put_back(batch)
                self.retries += 1
                metrics.RECORDER_RETRIES.inc()
                _log.warning("outcomes wait, next try in %.2f s: %s: %s", backoff_s, type(fault).__name__, fault)
                await asyncio.sleep(backoff_s)
                backoff_s = min(backoff_s * 2, LONGEST_BACKOFF_S)
            else:
                backoff_s = FIRST_BACKOFF_S
                self._settle(batch, answers)

    async def _gather_company(self) -> None:
        await self._work.wait()
        if not self._urgent.is_set():
            try:
                async with asyncio.timeout(self._max_delay_s):
                    await self._urgent.wait()
            except TimeoutError:
                pass
        self._work.clear()
        self._urgent.clear()

    def _take(self) -> _Batch:
        waiting = [request for request in self._requests if not request.answer.done()]
        requests, self._requests = waiting[:MAX_FINISHES], waiting[MAX_FINISHES:]
        rows: list[NodeRow] = []
        for request in requests:
            rows += self._queue.take_all(request.owners)
        rows += self._queue.take_some(self._max_rows - len(rows))
        self._in_flight = {owner_of(row) for row in rows}
        self._taken_since, self._waiting_since = self._waiting_since, None
        if self._queue or self._requests:
            self._wake(urgent=bool(self._requests))
        return _Batch(rows, requests)

    def _put_back(self, batch: _Batch) -> None:
        for row in batch.rows:
            self._queue.put(row)  # a newer row of the same key that came meanwhile wins by its precedence
        self._requests[:0] = batch.requests
        self._waiting_since = self._taken_since
        self._in_flight = set()
        self._work.set()
        self._urgent.set()

    async def _write(self, batch: _Batch) -> list[FinishResult | BaseException]:
        """One transaction; if PostgreSQL refuses its content, one for each row and each closing."""
        finishes = [request.finish for request in batch.requests if request.finish is not None]
        settled = newest_of_each(row for request in batch.requests for row in request.settled)
        if not (batch.rows or settled or finishes):
            return []
        try:
            return list(await self._nodes.write(batch.rows, settled, finishes))
        except REFUSED as error:
            _log.warning("a batch was refused, writing one by one: %s: %s", type(error).__name__, error)
        for row in batch.rows:
            await self._write_one(row)
        for row in settled:
            await self._write_one(row, settled=True)
        return [await self._finish_one(finish) for finish in finishes]

    async def _write_one(self, row: NodeRow, *, settled: bool = False) -> None:
        try:
            await self._write_pair(row, settled=settled)
        except REFUSED as error:
            # That the node ran, and how it ended, is worth more than data which the database cannot hold.
            _log.error("the data of %s in %s cannot be stored: %s", row.node_path, row.execution_id, error)
            self.stripped += 1
            await self._write_pair(_stripped(row, error), settled=settled)

    def _write_pair(self, row: NodeRow, *, settled: bool) -> Coroutine[Any, Any, object]:
        return self._nodes.write([] if settled else [row], [row] if settled else [])

    async def _finish_one(self, finish: Finish) -> FinishResult | BaseException:
        try:
            return (await self._nodes.write([], [], [finish]))[0]
        except REFUSED as error:
            return error

    def _settle(self, batch: _Batch, answers: Sequence[FinishResult | BaseException]) -> None:
        self._in_flight = set()
        self.written += len(batch.rows)
        if len(self._queue) < self._max_queued:
            self._room.set()
        closings = zip(batch.finishing, answers, strict=True)
        for request, answer in closings:
            if request.answer.done():
                continue
            if isinstance(answer, BaseException):
                request.answer.set_exception(answer)
            else:
                request.answer.set_result(answer)
        for request in batch.requests:
            if request.finish is None and not request.answer.done():
                request.answer.set_result(None)
        self._show(batch, answers)
        self._tell(batch)

    def _tell(self, batch: _Batch) -> None:
        rows = [*batch.rows, *(row for request in batch.requests for row in request.settled)]
        if self._observe is not None and rows:
            self._observe(rows, 0.0 if self._taken_since is None else time.monotonic() - self._taken_since)

    def _show(self, batch: _Batch, answers: Sequence[FinishResult | BaseException]) -> None:
        if self._live is None:
            return
        self._live.publish_nodes(batch.rows)
        for request in batch.requests:
            self._live.publish_nodes(request.settled)
        for request, answer in zip(batch.finishing, answers, strict=True):
            if request.finish is not None and isinstance(answer, FinishResult) and answer.closed:
                self._live.publish_status(request.finish.tenant, request.finish.execution_id, answer.status)


def _stripped(row: NodeRow, error: BaseException) -> NodeRow:
    message = f"the data of this node could not be stored ({type(error).__name__})"
    lost = {"code": "INTERNAL", "message": message, "details": {}, "retryable": False}
    return replace(row, input=None, output=None, assigned=None, error=lost)
