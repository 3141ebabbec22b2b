"""Limits shared by two workers through a real Valkey, and kept alone without one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from uuid import uuid4

import pytest
import pytest_asyncio

from engine.activities.clients.rate_limits import RateLimit, RateLimits, wait_for_room_s
from engine.errors import RATE_LIMITED, NodeError
from tests.models.server import ValkeyServer, free_port


@pytest_asyncio.fixture
async def workers(valkey: ValkeyServer) -> AsyncIterator[list[RateLimits]]:
    """Two, as two processes have them: nothing is shared but the server."""
    opened = [RateLimits(valkey.url), RateLimits(valkey.url)]
    yield opened
    for one in opened:
        assert one.faults == 0
        await one.close()


def limit(**bounds: int) -> RateLimit:
    return RateLimit(f"{uuid4()}:model", **bounds)


async def call(limits: RateLimits, bound: RateLimit, *, tokens: int = 0, wait_s: float = 0) -> NodeError | None:
    try:
        async with limits.slot(bound, tokens=tokens, wait_s=wait_s, lease_s=30):
            return None
    except NodeError as error:
        return error


async def test_requests_a_minute_are_counted_over_all_workers(workers: list[RateLimits]) -> None:
    bound = limit(requests_per_minute=10)
    answers = await asyncio.gather(*(call(workers[n % 2], bound) for n in range(25)))
    refused = [answer for answer in answers if answer is not None]
    assert len(refused) == 15
    assert {(error.code, error.retryable) for error in refused} == {(RATE_LIMITED, True)}
    assert refused[0].retry_after_s is not None
    # The window is full and begun just now: 60 s until it is over, then 6 s until a tenth of it counts no more.
    assert 50 < refused[0].retry_after_s <= 66.1
    assert refused[0].details == {"limit": 10, "of": "requests a minute"}


async def test_tokens_a_minute_are_counted_over_all_workers(workers: list[RateLimits]) -> None:
    bound = limit(tokens_per_minute=1000)
    answers = await asyncio.gather(*(call(workers[n % 2], bound, tokens=300) for n in range(6)))
    assert sum(answer is None for answer in answers) == 3
    assert await call(workers[0], bound, tokens=100) is None, "900 + 100 = 1000"
    assert await call(workers[1], bound, tokens=1) is not None


async def test_call_over_the_whole_minutes_tokens_may_go_alone(workers: list[RateLimits]) -> None:
    bound = limit(tokens_per_minute=1000)
    assert await call(workers[0], bound, tokens=5000) is None
    assert await call(workers[1], bound, tokens=1) is not None


async def test_concurrent_calls_are_bounded_over_all_workers_and_wait_for_their_turn(workers: list[RateLimits]) -> None:
    bound, running, most = limit(concurrency=3), 0, 0

    async def one(number: int) -> None:
        nonlocal running, most
        async with workers[number % 2].slot(bound, tokens=0, wait_s=20, lease_s=30):
            running += 1
            most = max(most, running)
            await asyncio.sleep(0.02)
            running -= 1

    await asyncio.gather(*(one(number) for number in range(12)))
    assert most == 3


async def test_no_place_in_time_is_rate_limited_and_a_place_is_given_back_on_failure(
    workers: list[RateLimits],
) -> None:
    bound = limit(concurrency=1)
    async with workers[0].slot(bound, tokens=0, wait_s=0, lease_s=30):
        refused = await call(workers[1], bound)
        assert refused is not None
        assert refused.retry_after_s == 1.0
    with pytest.raises(ZeroDivisionError):
        async with workers[0].slot(bound, tokens=0, wait_s=0, lease_s=30):
            raise ZeroDivisionError
    assert await call(workers[1], bound) is None


async def test_place_of_a_lost_worker_is_free_when_its_lease_ends(workers: list[RateLimits]) -> None:
    bound = limit(concurrency=1)
    async with AsyncExitStack() as lost:
        await lost.enter_async_context(workers[0].slot(bound, tokens=0, wait_s=0, lease_s=0.3))
        assert await call(workers[1], bound) is not None
        assert await call(workers[1], bound, wait_s=5) is None, "the lease was over before it was given back"


async def test_without_redis_a_worker_keeps_to_the_limits_alone(caplog: pytest.LogCaptureFixture) -> None:
    limits = RateLimits(f"redis://127.0.0.1:{free_port()}/0")
    bound = limit(requests_per_minute=3, concurrency=1)
    answers = [await call(limits, bound) for _ in range(5)]
    assert [answer is None for answer in answers] == [True, True, True, False, False]
    async with limits.slot(limit(concurrency=1), tokens=0, wait_s=0, lease_s=30):
        pass
    assert limits.faults == 1, "it is not asked again for a while"
    assert "keeps to AI rate limits alone" in caplog.text
    await limits.close()


async def test_redis_that_comes_back_is_asked_again(valkey: ValkeyServer) -> None:
    server = ValkeyServer()
    server.start()
    limits, bound = RateLimits(server.url), limit(requests_per_minute=2)
    assert await call(limits, bound) is None
    server.stop()
    assert await call(limits, bound) is None, "counted here from the beginning"
    assert limits.faults == 1
    server.start()
    limits._away_until = 0.0  # pyright: ignore[reportPrivateUsage]  # the time has passed
    assert await call(limits, bound) is None
    assert limits.faults == 1
    await limits.close()
    server.stop()


@pytest.mark.parametrize(
    ("window", "amount", "cost", "expected_s"),
    [
        ((0, 0.0, 0, 0.0), 10, 1, 0.0),
        ((0, 0.0, 9, 100.0), 10, 1, 0.0),
        # 10 of the window before count for 30 s more, 5 of them now; there is room for 9.99: 0.06 s early enough.
        ((10, 30.0, 0, 0.0), 10, 1, 0.0),
        # 8 are used, of 10 before that count for 30 s; 10 - 1 - 8 + 0.99 = 1.99 may count: at 11.94 s before their end.
        ((10, 30.0, 8, 90.0), 10, 1, 30.0 - 11.94),
        # Full: 20 s until it is over, then until 9.99 of its 10 count, 0.06 s.
        ((0, 0.0, 10, 80.0), 10, 1, 20.06),
        # Full, and all of it is wanted: until 0.99 of 10 count, 54.06 s.
        ((0, 0.0, 10, 80.0), 10, 10, 20 + 54.06),
    ],
)
def test_wait_lasts_until_the_window_has_room(
    window: tuple[int, float, int, float], amount: int, cost: int, expected_s: float
) -> None:
    assert wait_for_room_s(window, amount, cost) == pytest.approx(expected_s, abs=0.001)
