"""How often somebody may ask: tries to sign in, and requests by key and by tenant.

Windows begin at multiples of their length, and their counters are kept by the library `limits` in Redis, so that all
API processes share them. Where a limit is large, a process takes a portion of it at once and asks Redis again when that
is used up: nobody gets more than the limit, and a process that stops takes the rest of its portion with it. Without
Redis each process keeps to the limits alone.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, cast

from limits import RateLimitItem, parse
from limits.aio.storage import MemoryStorage, RedisStorage
from redis.asyncio import ConnectionPool
from redis.exceptions import RedisError

from engine.errors import RATE_LIMITED, StructForgeError

PORTION = 200  # a process takes this part of a limit at once
AWAY_S = 5.0
MAX_REMEMBERED = 20_000
_log = logging.getLogger(__name__)


class RateLimited(StructForgeError):
    """Somebody asked too often; there is room again in `retry_after_s`."""

    code = RATE_LIMITED

    def __init__(self, message: str, state: RateState) -> None:
        super().__init__(message, details={"limit": state.limit, "retry_after_s": state.reset_s})
        self.state = state


@dataclass(frozen=True, slots=True)
class RateState:
    """A limit as it stands: of `limit` requests `remaining` are left, and all come back in `reset_s` seconds."""

    limit: int
    remaining: int
    reset_s: int

    def headers(self) -> dict[str, str]:
        return {
            "RateLimit-Limit": str(self.limit),
            "RateLimit-Remaining": str(self.remaining),
            "RateLimit-Reset": str(self.reset_s),
        }


@dataclass(slots=True)
class _Portion:
    """What this process holds of a window, and how much of the window is taken by everybody."""

    window: int
    held: int = 0
    taken: int = 0


class RateLimits:
    """All limits as one process keeps to them. `faults` counts answers that Redis owed."""

    def __init__(self, redis_url: str | None) -> None:
        self._alone = MemoryStorage()
        self._pool = None if redis_url is None else _pool(redis_url)
        self._shared = None if redis_url is None else _shared(redis_url, self._pool)
        self._portions: OrderedDict[str, _Portion] = OrderedDict()
        self._locks: dict[str, asyncio.Lock] = {}
        self._away_until = 0.0
        self.faults = 0

    async def close(self) -> None:
        if self._pool is not None:
            await self._pool.disconnect()

    async def take(self, what: str, subject: str, rate: RateLimitItem) -> RateState:
        """Count one try of a subject. Raises: RateLimited if it has none left."""
        length = int(rate.get_expiry())
        window, into = divmod(time.time(), length)
        state = await self._count(f"{what}:{subject}:{length}", int(window), rate)
        reset_s = max(1, int(length - into + 0.999))
        if state is None:
            refused = RateState(rate.amount, 0, reset_s)
            raise RateLimited(f"too many tries: at most {rate} for one {what}", refused)
        return RateState(rate.amount, state, reset_s)

    async def _count(self, key: str, window: int, rate: RateLimitItem) -> int | None:
        """What is left after this try; None if there was nothing."""
        portion = self._portion(key, window)
        if portion.held == 0:
            lock = self._locks.setdefault(key, asyncio.Lock())
            try:
                async with lock:
                    if portion.held == 0 and portion.taken < rate.amount:
                        await self._draw(key, portion, rate)
            finally:
                if not lock.locked():
                    self._locks.pop(key, None)
        if portion.held == 0:
            return None
        portion.held -= 1
        return max(0, rate.amount - portion.taken) + portion.held

    def _portion(self, key: str, window: int) -> _Portion:
        portion = self._portions.get(key)
        if portion is None or portion.window != window:
            portion = self._portions[key] = _Portion(window)
            if len(self._portions) > MAX_REMEMBERED:
                self._portions.popitem(last=False)
        self._portions.move_to_end(key)
        return portion

    async def _draw(self, key: str, portion: _Portion, rate: RateLimitItem) -> None:
        wanted = max(1, rate.amount // PORTION)
        before = await self._increase(f"{key}:{portion.window}", int(rate.get_expiry()), wanted) - wanted
        portion.held += max(0, min(wanted, rate.amount - before))
        portion.taken = before + wanted

    async def _increase(self, key: str, expiry_s: int, amount: int) -> int:
        if self._shared is not None and time.monotonic() >= self._away_until:
            try:
                return await self._shared.incr(key, expiry_s, amount)
            except (RedisError, OSError, TimeoutError) as error:
                self.faults += 1
                self._away_until = time.monotonic() + AWAY_S
                _log.warning("Redis does not answer, this process keeps to rate limits alone: %s", error)
        return await self._alone.incr(key, expiry_s, amount)


def rate_of(text: str) -> RateLimitItem:
    """A rate as settings write it."""
    return parse(text.replace(" per ", "/"))


def _pool(url: str) -> ConnectionPool:
    options: Any = {"socket_timeout": 2, "socket_connect_timeout": 2, "max_connections": 20}
    return ConnectionPool.from_url(url, **options)


def _shared(url: str, pool: ConnectionPool | None) -> RedisStorage:
    return RedisStorage(
        f"async+{url}", implementation="redispy", key_prefix="sf:rate", connection_pool=cast("Any", pool)
    )
