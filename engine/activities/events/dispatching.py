"""The dispatcher: hands messages of the outbox to whoever handles their kind, at least once.

Several may run at once. A message is claimed for `LEASE`: nobody else gets it meanwhile, and if the process dies it is
due again afterwards. A handler may therefore see a message twice and goes by its `id`.

`execution.finished` is written for every execution, thousands a second. Such a message reaches handlers only where an
event trigger waits for it or `outbox_interest` has a row (`OutboxMessages.listen`, or a database trigger of one's own);
all others are settled by one statement.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID

from engine.errors import StructForgeError, SystemFault
from models.repositories.outbox import FINISHED, FINISHED_BEFORE, Failure, OutboxMessages
from models.session import Database
from models.tables import Outbox

Handler = Callable[[Outbox], Awaitable[None]]

CHANNEL = "structforge_outbox"
LEASE = timedelta(seconds=30)
HANDLER_TIMEOUT_S = 20.0
POLL_S = 0.5
AT_ONCE = 50
SETTLED_AT_ONCE = 5000
MAX_ATTEMPTS = 10
LONGEST_PAUSE_S = 300.0
RETRY_S = 1.0
AWAY_PAUSE_S = 5.0
UNKNOWN_EVERY_S = 60.0
_log = logging.getLogger(__name__)


def pause_s(attempts: int) -> float:
    """Seconds before a message whose delivery has failed `attempts` times is tried again: 1, 2, 4, ... 300."""
    return min(LONGEST_PAUSE_S, 2.0 ** min(attempts - 1, 20))


def combined(*parts: Mapping[str, Sequence[Handler]]) -> dict[str, list[Handler]]:
    """The handlers of several features as one mapping."""
    kinds = dict.fromkeys(kind for part in parts for kind in part)
    return {kind: [handler for part in parts for handler in part.get(kind, ())] for kind in kinds}


@dataclass(slots=True)
class Dispatcher:
    """Delivers to `handlers`, by kind; all handlers of a kind see each message, and all again if one of them fails.

    A server that is away (SystemFault) is waited out however long; any other failure parks the message after
    `max_attempts`, as does a message over which processes die.
    """

    database: Database
    handlers: Mapping[str, Sequence[Handler]]
    lease: timedelta = LEASE
    handler_timeout_s: float = HANDLER_TIMEOUT_S
    max_attempts: int = MAX_ATTEMPTS
    delivered: int = 0
    unheard: int = 0
    failed: int = 0
    parked: int = 0
    _unknown_at: float = 0.0
    _wake: asyncio.Event = field(default_factory=asyncio.Event)
    _running: dict[UUID, asyncio.Task[None]] = field(default_factory=dict[UUID, "asyncio.Task[None]"])
    _done: list[UUID] = field(default_factory=list[UUID])
    _failures: list[Failure] = field(default_factory=list[Failure])

    async def run_forever(self) -> None:
        """Until cancelled; what is under way then is given back. PostgreSQL being away is waited out."""
        listening = asyncio.create_task(self._listen_forever())
        try:
            while True:
                try:
                    await self._pass()
                except SystemFault as fault:
                    _log.warning("messages wait: %s", fault)
                    await asyncio.sleep(RETRY_S)
                await self._wait()
        finally:
            listening.cancel()
            await self._give_back()

    async def run_once(self) -> int:
        """Deliver what is due now, and wait for it; how many messages were handed to handlers. Raises: SystemFault."""
        handed = 0
        while True:
            count = await self._pass()
            handed += count
            if self._running:
                await asyncio.wait(self._running.values())
            await self._write()
            if count == 0:
                return handed

    async def _pass(self) -> int:
        self._wake.clear()
        await self._write()
        kinds = self._kinds()
        await self._settle(kinds)
        free = AT_ONCE - len(self._running)
        claimed = await self._rows.claim(kinds, self.lease, limit=free) if free > 0 else []
        for message in claimed:
            self._start(message)
        return len(claimed)

    async def _settle(self, kinds: Sequence[str]) -> None:
        """Be done with what no handler is for."""
        settled = SETTLED_AT_ONCE
        while settled == SETTLED_AT_ONCE:
            settled = await self._rows.settle_unheard(limit=SETTLED_AT_ONCE)
            self.unheard += settled
        if time.monotonic() > self._unknown_at:
            self.unheard += await self._rows.settle_unknown(kinds)
            self._unknown_at = time.monotonic() + UNKNOWN_EVERY_S

    @property
    def _rows(self) -> OutboxMessages:
        return OutboxMessages(self.database)

    def _kinds(self) -> list[str]:
        kinds = list(self.handlers)
        return [*kinds, FINISHED_BEFORE] if FINISHED in self.handlers else kinds

    def _start(self, message: Outbox) -> None:
        # A claim that ran out is due again while its handler still runs: that one will answer for both.
        if message.id in self._running:
            return
        if message.attempts > self.max_attempts:
            self._failures.append(Failure(message.id, "its delivery was begun too often and never ended", parked=True))
            self._wake.set()
        else:
            self._running[message.id] = asyncio.create_task(self._deliver(message))

    async def _deliver(self, message: Outbox) -> None:
        kind = FINISHED if message.kind == FINISHED_BEFORE else message.kind
        try:
            async with asyncio.timeout(self.handler_timeout_s):
                for handler in self.handlers[kind]:
                    await handler(message)
            self._done.append(message.id)
        except asyncio.CancelledError:
            raise
        except Exception as error:
            self._failures.append(self._failure(message, error))
        finally:
            if not _is_cancelling():
                self._running.pop(message.id, None)
                self._wake.set()

    def _failure(self, message: Outbox, error: Exception) -> Failure:
        known = isinstance(error, (StructForgeError, TimeoutError))
        reason = f"{type(error).__name__}: {error}"[:2000]
        if isinstance(error, SystemFault):
            _log.warning("message %s (%s) waits: %s", message.id, message.kind, reason)
            return Failure(message.id, reason, AWAY_PAUSE_S, counted=False)
        parked = message.attempts >= self.max_attempts
        verb = "is parked" if parked else "will be delivered again"
        log = _log.error if parked else _log.warning
        log("message %s (%s) %s: %s", message.id, message.kind, verb, reason, exc_info=None if known else error)
        return Failure(message.id, reason, pause_s(message.attempts), parked)

    async def _write(self) -> None:
        done, failures = self._done, self._failures
        if not done and not failures:
            return
        self._done, self._failures = [], []
        try:
            await self._rows.settle(done, failures, [])
        except SystemFault:
            self._done[:0], self._failures[:0] = done, failures
            raise
        self.delivered += len(done)
        self.failed += len(failures)
        self.parked += sum(failure.parked for failure in failures)

    async def _give_back(self) -> None:
        """Stop what runs, and let others have it at once."""
        running = dict(self._running)
        for task in running.values():
            task.cancel()
        await asyncio.gather(*running.values(), return_exceptions=True)
        self._running.clear()
        settled = {*self._done, *(failure.id for failure in self._failures)}
        with contextlib.suppress(SystemFault):
            await self._rows.settle(self._done, self._failures, [one for one in running if one not in settled])

    async def _listen_forever(self) -> None:
        while True:
            try:
                async with self.database.listening(CHANNEL, lambda _: self._wake.set()) as lost:
                    self._wake.set()  # what was told before
                    await lost.wait()
            except SystemFault:
                await asyncio.sleep(RETRY_S)

    async def _wait(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(POLL_S):
                await self._wake.wait()


def _is_cancelling() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
