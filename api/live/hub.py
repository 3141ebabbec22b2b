"""The streams of one API process: who watches what, how many may, and what wakes them.

One reader for each tenant that is watched listens to Redis. Without Redis nobody is woken, and streams look by
themselves more often.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter, deque
from collections.abc import Generator, Iterable
from dataclasses import dataclass, field
from uuid import UUID

from engine.activities.clients.redis_events import Hint, LiveEvents
from engine.errors import RATE_LIMITED, Conflict
from models.tenancy import TenantId

MAX_TEXTS = 200  # pieces of text that wait for one client; older ones make room
MAX_LOOKS = 4  # questions to PostgreSQL at the same time, so that streams leave connections to everything else
AWAY_S = (0.5, 1.0, 2.0)  # waits between tries to reach Redis
_log = logging.getLogger(__name__)


class Listener:
    """What one stream hears of: one execution, or all of a tenant."""

    def __init__(self, execution_id: UUID | None) -> None:
        self._execution_id = execution_id
        self._news = asyncio.Event()
        self.changed = True
        self.texts: deque[Hint] = deque(maxlen=MAX_TEXTS)

    def hear(self, hint: Hint) -> None:
        if self._execution_id not in (None, hint.execution_id):
            return
        if hint.text is None:
            self.changed = True
        else:
            self.texts.append(hint)
        self._news.set()

    def wake(self) -> None:
        """Have a look, whatever was heard."""
        self.changed = True
        self._news.set()

    def take_texts(self) -> list[Hint]:
        texts = list(self.texts)
        self.texts.clear()
        return texts

    async def wait(self, seconds: float) -> None:
        """Return at the next news, after `seconds` at the latest."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, seconds)):
                await self._news.wait()
        self._news.clear()


@dataclass(slots=True)
class _Ear:
    """The reader of one tenant's stream."""

    listeners: set[Listener] = field(default_factory=set[Listener])
    task: asyncio.Task[None] | None = None
    away: bool = True


class LiveStreams:
    """All streams that this process serves."""

    def __init__(self, events: LiveEvents | None = None) -> None:
        self._events = events
        self._ears: dict[TenantId, _Ear] = {}
        self._of_tenant: Counter[TenantId] = Counter()
        self._of_key: Counter[UUID] = Counter()
        self.looks = asyncio.Semaphore(MAX_LOOKS)
        self.stopping = False

    @classmethod
    def open(cls, redis_url: str | None) -> LiveStreams:
        return cls(None if redis_url is None else LiveEvents(redis_url))

    @property
    def count(self) -> int:
        """How many streams there are."""
        return self._of_tenant.total()

    def take_place(self, tenant: TenantId, key: UUID, *, of_tenant: int, of_key: int) -> Place:
        """One stream more. Raises: Conflict (RATE_LIMITED) if there are so many of the tenant or the key already."""
        for held, most, whose in ((self._of_tenant[tenant], of_tenant, "tenant"), (self._of_key[key], of_key, "key")):
            if held >= most:
                message = f"this {whose} has {held} live streams on this server, and may have {most}: close one"
                raise Conflict(message, code=RATE_LIMITED, details={"limit": most})
        self._of_tenant[tenant] += 1
        self._of_key[key] += 1
        return Place(self, tenant, key)

    def give_back(self, tenant: TenantId, key: UUID) -> None:
        for counter, name in ((self._of_tenant, tenant), (self._of_key, key)):
            counter[name] -= 1  # pyright: ignore[reportArgumentType]  # each counter with its own names
            if counter[name] <= 0:  # pyright: ignore[reportArgumentType]
                del counter[name]  # pyright: ignore[reportArgumentType]

    @contextlib.contextmanager
    def listening(self, tenant: TenantId, execution_id: UUID | None) -> Generator[Listener]:
        """Hear of changes while the block lasts."""
        ear, listener = self._ears.setdefault(tenant, _Ear()), Listener(execution_id)
        ear.listeners.add(listener)
        if ear.task is None and self._events is not None:
            ear.task = asyncio.create_task(self._read(self._events, tenant, ear), name=f"live events of {tenant}")
        try:
            yield listener
        finally:
            ear.listeners.discard(listener)
            if not ear.listeners:
                self._ears.pop(tenant, None)
                if ear.task is not None:
                    ear.task.cancel()

    def hears(self, tenant: TenantId) -> bool:
        """Whether changes of the tenant are told by Redis at this moment."""
        ear = self._ears.get(tenant)
        return ear is not None and not ear.away

    def stop(self) -> None:
        """Have every stream end, for the process does; each client is told that it can come back."""
        self.stopping = True
        for ear in self._ears.values():
            _wake(ear.listeners)

    async def close(self) -> None:
        self.stop()
        tasks = [ear.task for ear in self._ears.values() if ear.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._events is not None:
            await self._events.close()

    async def _read(self, events: LiveEvents, tenant: TenantId, ear: _Ear) -> None:
        failures = 0
        while True:
            try:
                async for hints in events.hints(tenant):
                    if ear.away:
                        ear.away, failures = False, 0
                        _wake(ear.listeners)  # what came meanwhile was not heard
                    for hint in hints:
                        for listener in tuple(ear.listeners):
                            listener.hear(hint)
            except ConnectionError as error:
                if not ear.away or not failures:
                    _log.warning("live streams look into PostgreSQL: %s", error)
                ear.away = True
                _wake(ear.listeners)
                await asyncio.sleep(AWAY_S[min(failures, len(AWAY_S) - 1)])
                failures += 1


@dataclass(slots=True)
class Place:
    """The right to one stream."""

    streams: LiveStreams
    tenant: TenantId
    key: UUID
    held: bool = True

    def leave(self) -> None:
        """Give it back; twice does no harm."""
        if self.held:
            self.held = False
            self.streams.give_back(self.tenant, self.key)


def _wake(listeners: Iterable[Listener]) -> None:
    for listener in tuple(listeners):
        listener.wake()
