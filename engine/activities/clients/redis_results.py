"""Results of nodes in Redis, and the leases under which one worker at a time makes a result."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncGenerator, Awaitable
from typing import Any, TypeVar, cast

from redis.asyncio import Redis
from redis.asyncio.lock import Lock
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import LockError, RedisError

TIMEOUT_S = 1.0
AWAY_FOR_S = 5.0  # how long a Redis that did not answer is not asked again
_Answer = TypeVar("_Answer")
_log = logging.getLogger(__name__)


class RedisAway(Exception):
    """Redis does not answer: the work goes on without it."""


class Lease:
    """The right to make one result, renewed for as long as its holder lives."""

    def __init__(self, lock: Lock, seconds: float) -> None:
        self._lock = lock
        self._seconds = seconds

    @contextlib.asynccontextmanager
    async def held(self) -> AsyncGenerator[None]:
        """Keep the lease inside; give it back at the end, so that who waits goes on at once."""
        renewal = asyncio.create_task(self._renew(), name="result lease")
        try:
            yield
        finally:
            renewal.cancel()
            await asyncio.gather(renewal, return_exceptions=True)
            await self.release()

    async def release(self) -> None:
        """Harmless if it has run out."""
        with contextlib.suppress(LockError, RedisError, OSError):
            await self._lock.release()

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(self._seconds / 3)
            try:
                await self._lock.extend(self._seconds, replace_ttl=True)
            except LockError:
                return  # it ran out: somebody else may be at it now, and both results are right
            except (RedisError, OSError):
                continue


class ResultStore:
    """Bytes under a name for a time. All but `close` raise RedisAway, and at once while Redis is known to be away."""

    def __init__(self, client: Redis) -> None:
        self._redis = client
        self._away_until = 0.0

    @classmethod
    def open(cls, url: str) -> ResultStore:
        """A store on the server at `url`; connects when it is asked."""
        once = Retry(NoBackoff(), 1)  # a connection that was closed meanwhile is opened again
        return cls(Redis.from_url(url, socket_timeout=TIMEOUT_S, socket_connect_timeout=TIMEOUT_S, retry=once))

    async def get(self, name: str) -> bytes | None:
        return cast("bytes | None", await self._ask(cast("Any", self._redis.get(name))))

    async def put(self, name: str, data: bytes, ttl_s: float) -> None:
        await self._ask(cast("Any", self._redis.set(name, data, px=max(1, int(ttl_s * 1000)))))

    async def lease(self, name: str, seconds: float) -> Lease | None:
        """The lease of that name; None while another holds it."""
        lock = Lock(self._redis, name, timeout=seconds, thread_local=False)
        return Lease(lock, seconds) if await self._ask(lock.acquire(blocking=False)) else None

    async def close(self) -> None:
        await self._redis.aclose()

    async def _ask(self, question: Awaitable[_Answer]) -> _Answer:
        if time.monotonic() < self._away_until:
            cast("Any", question).close()
            raise RedisAway
        try:
            return await question
        except (RedisError, OSError) as error:
            self._away_until = time.monotonic() + AWAY_FOR_S
            _log.warning("Redis does not answer, so nodes run without the result cache: %s", error)
            raise RedisAway from None
