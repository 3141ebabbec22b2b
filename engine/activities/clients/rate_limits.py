"""Rate limits of AI models, shared by all workers through Redis.

Requests and tokens a minute are sliding windows of the library `limits`; calls at the same time are leases in a sorted
set, which expire by themselves when their worker is lost. Without Redis each process keeps to the limits on its own:
then several workers together may pass them, and the provider answers 429, which is honoured like any other.
"""

from __future__ import annotations

import asyncio
import logging
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar, cast
from uuid import uuid4

from limits import RateLimitItemPerMinute
from limits.aio.storage import MemoryStorage, RedisStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from redis.asyncio import ConnectionPool, Redis
from redis.exceptions import RedisError

from engine.errors import RATE_LIMITED, NodeError

MINUTE_S = 60
ASK_AGAIN_S = 0.1  # how often a call that waits for a slot looks
AWAY_S = 5.0  # after a fault, Redis is not asked for so long
SHORTEST_WAIT_S = 0.05
_Answer = TypeVar("_Answer")
_log = logging.getLogger(__name__)

# KEYS: the set. ARGV: now, lease until, most leases, lease. Gives 1, or 0 if all are taken.
_TAKE_SLOT = """
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', ARGV[1])
if redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[3]) then return 0 end
redis.call('ZADD', KEYS[1], ARGV[2], ARGV[4])
redis.call('PEXPIREAT', KEYS[1], math.ceil(tonumber(redis.call('ZRANGE', KEYS[1], -1, -1, 'WITHSCORES')[2]) * 1000))
return 1
"""


@dataclass(frozen=True, slots=True)
class RateLimit:
    """The limits of one model; None does not bound. `key` names whose they are, the same on all workers."""

    key: str
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    concurrency: int | None = None


class RateLimits:
    """The limits of all models, as one worker process keeps to them. `faults` counts answers that Redis owed."""

    def __init__(self, redis_url: str | None) -> None:
        self._alone = _Alone()
        self._shared = None if redis_url is None else _Shared(redis_url)
        self._away_until = 0.0
        self.faults = 0

    @asynccontextmanager
    async def slot(
        self, limit: RateLimit, *, tokens: int, requests: int = 1, wait_s: float, lease_s: float
    ) -> AsyncGenerator[None]:
        """Room for one call, which lasts `lease_s` at most and uses about `tokens`.

        Waits for a place among the concurrent calls for `wait_s` at most; for requests and tokens never, since they
        come back after seconds only.
        Raises: NodeError RATE_LIMITED with `retry_after_s`.
        """
        lease = uuid4().hex
        if limit.concurrency is not None:
            await self._await_slot(limit, limit.concurrency, lease, wait_s, lease_s)
        try:
            await self._take(limit, requests, tokens)
            yield
        finally:
            if limit.concurrency is not None:
                await asyncio.shield(self._ask(lambda store: store.give_back(limit.key, lease)))

    async def close(self) -> None:
        if self._shared is not None:
            await self._shared.close()

    async def _await_slot(self, limit: RateLimit, most: int, lease: str, wait_s: float, lease_s: float) -> None:
        deadline = time.monotonic() + wait_s
        while not await self._ask(lambda store: store.take_slot(limit.key, most, lease, lease_s)):
            if time.monotonic() >= deadline:
                raise _limited("calls at the same time", most, 1.0)
            await asyncio.sleep(ASK_AGAIN_S)

    async def _take(self, limit: RateLimit, requests: int, tokens: int) -> None:
        for what, amount, cost in (
            ("requests", limit.requests_per_minute, requests),
            ("tokens", limit.tokens_per_minute, tokens),
        ):
            if amount is None:
                continue
            wait = await self._hit(f"{limit.key}:{what}", amount, min(cost, amount))
            if wait > 0:
                raise _limited(f"{what} a minute", amount, wait)

    async def _hit(self, key: str, amount: int, cost: int) -> float:
        return await self._ask(lambda store: store.hit(key, amount, cost))

    async def _ask(self, question: Callable[[_Store], Awaitable[_Answer]]) -> _Answer:
        """Ask Redis, or what this process knows alone if Redis does not answer."""
        if self._shared is not None and time.monotonic() >= self._away_until:
            try:
                return await question(self._shared)
            except (RedisError, OSError, TimeoutError) as error:
                self._note_fault(error)
        return await question(self._alone)

    def _note_fault(self, error: Exception) -> None:
        self.faults += 1
        self._away_until = time.monotonic() + AWAY_S
        _log.warning("Redis does not answer, this worker keeps to AI rate limits alone: %s", error)


class _Store(ABC):
    """Windows of `limits`; where leases are kept is up to the two kinds of store."""

    def __init__(self, storage: RedisStorage | MemoryStorage) -> None:
        self._storage = storage
        self._windows = SlidingWindowCounterRateLimiter(storage)

    async def hit(self, key: str, amount: int, cost: int) -> float:
        """Take `cost` out of `amount` a minute; 0 if there was room, else the seconds until there will be."""
        item = RateLimitItemPerMinute(amount, namespace="sf")
        if await self._windows.hit(item, key, cost=cost):
            return 0.0
        window = await self._storage.get_sliding_window(item.key_for(key), MINUTE_S)
        return max(SHORTEST_WAIT_S, wait_for_room_s(window, amount, cost))

    @abstractmethod
    async def take_slot(self, key: str, most: int, lease: str, lease_s: float) -> bool:
        """Whether the lease could be taken; it lasts `lease_s` at most."""

    @abstractmethod
    async def give_back(self, key: str, lease: str) -> None: ...


class _Shared(_Store):
    def __init__(self, url: str) -> None:
        options: Any = {"socket_timeout": 2, "socket_connect_timeout": 2, "max_connections": 50}
        self._pool = ConnectionPool.from_url(url, **options)
        self._redis = Redis(connection_pool=self._pool)
        storage = RedisStorage(
            f"async+{url}", implementation="redispy", key_prefix="sf:ai", connection_pool=cast("Any", self._pool)
        )
        super().__init__(storage)

    async def take_slot(self, key: str, most: int, lease: str, lease_s: float) -> bool:
        now = time.time()
        arguments = (now, now + lease_s, most, lease)
        return bool(await cast("Any", self._redis).eval(_TAKE_SLOT, 1, f"sf:ai:slots:{key}", *arguments))

    async def give_back(self, key: str, lease: str) -> None:
        await cast("Any", self._redis).zrem(f"sf:ai:slots:{key}", lease)

    async def close(self) -> None:
        await self._redis.aclose()
        await self._pool.disconnect()


class _Alone(_Store):
    def __init__(self) -> None:
        super().__init__(MemoryStorage())
        self._leases: dict[str, dict[str, float]] = {}

    async def take_slot(self, key: str, most: int, lease: str, lease_s: float) -> bool:
        now = time.monotonic()
        held = {name: until for name, until in self._leases.get(key, {}).items() if until > now}
        free = len(held) < most
        if free:
            held[lease] = now + lease_s
        self._leases[key] = held
        return free

    async def give_back(self, key: str, lease: str) -> None:
        held = self._leases.get(key, {})
        held.pop(lease, None)
        if not held:
            self._leases.pop(key, None)


def wait_for_room_s(window: tuple[int, float, int, float], amount: int, cost: int) -> float:
    """Seconds until a sliding window has room for `cost`.

    `window` is what the window before holds and for how long it counts, then what the present one holds and how long it
    lives; it becomes the one before when it lives for `MINUTE_S` more. A window that is over counts less and less.
    """
    before, counts_s, present, lives_s = window
    room = amount - cost - present + 0.99  # the library rounds the sum down
    if room >= 0:
        return 0.0 if before == 0 else max(0.0, counts_s - room * MINUTE_S / before)
    until_over_s = max(0.0, lives_s - MINUTE_S)
    return until_over_s + MINUTE_S - (amount - cost + 0.99) * MINUTE_S / present


def _limited(what: str, most: int, wait_s: float) -> NodeError:
    message = f"the model's limit of {most} {what} is reached; there is room again in about {wait_s:.1f} s"
    details = {"limit": most, "of": what}
    return NodeError(message, code=RATE_LIMITED, details=details, retryable=True, retry_after_s=round(wait_s, 3))
