"""Redis is flushed or killed: no data is lost, and the live view shows what runs afterwards."""

from __future__ import annotations

import random
import time
from typing import Any, cast

import redis.asyncio as redis
from redis.exceptions import RedisError

from tests.faults.installation import Installation
from tests.faults.load import comes_true
from tests.faults.results import Result
from tests.faults.rounds import run_rounds
from tests.faults.row import Order, Row, Size

SHOWN_AGAIN_S = 30


async def run(order: Order) -> Result:
    dark: list[str] = []

    async def strike(installation: Installation, dice: random.Random) -> float:
        if dice.random() < 0.5:
            installation.hit("valkey")
        else:
            await flush(installation)
        struck_at = time.time()
        if not await comes_true(lambda: _shows_something(installation), SHOWN_AGAIN_S):
            dark.append(f"the live view was empty for {SHOWN_AGAIN_S} s after Redis was back")
        return struck_at

    result = await run_rounds(order, strike)
    result.violations += dark
    return result


async def flush(installation: Installation) -> None:
    """Empty Redis, as somebody may who believes that it is a cache alone."""
    client = _client(installation)
    try:
        await client.flushall()
    except (RedisError, OSError):  # it is away: nothing is left to flush
        pass
    finally:
        await client.aclose()


async def _shows_something(installation: Installation) -> bool:
    """Whether workers have written executions into the view since it was emptied."""
    client = _client(installation)
    try:
        async for _ in client.scan_iter("sf:*:execution:*", count=1000):
            return True
    except (RedisError, OSError):
        return False
    finally:
        await client.aclose()
    return False


def _client(installation: Installation) -> Any:
    assert installation.settings.redis.url is not None
    return cast("Any", redis.Redis).from_url(installation.settings.redis.url.get_secret_value(), socket_timeout=5)


ROW = Row("redis", "flush or kill Redis", Size(300, 10), Size(5000, 200), 10, run)
