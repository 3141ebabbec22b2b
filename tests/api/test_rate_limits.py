from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from uuid import uuid4

import httpx2
import pytest
import pytest_asyncio
from fastapi import FastAPI

from api.app import create_app
from api.rate_limits import RateLimited, RateLimits, rate_of
from api.resources import Resources
from engine.settings import Settings
from tests.api.conftest import KEY, caller
from tests.models.server import free_port

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(loop_scope="session")
async def two(settings: Settings) -> AsyncIterator[list[RateLimits]]:
    """Two processes over one Redis."""
    assert settings.redis.url is not None
    pair = [RateLimits(settings.redis.url.get_secret_value()) for _ in range(2)]
    yield pair
    for one in pair:
        await one.close()


async def tries(limits: list[RateLimits], subject: str, rate: str, number: int) -> int:
    """How many of so many tries at once are let through."""
    wanted = rate_of(rate)
    results = await asyncio.gather(
        *(limits[index % len(limits)].take("test", subject, wanted) for index in range(number)), return_exceptions=True
    )
    assert all(not isinstance(one, BaseException) or isinstance(one, RateLimited) for one in results)
    return sum(not isinstance(one, BaseException) for one in results)


@pytest.mark.parametrize("rate", ["7/day", "1000/day"])  # each single try is asked of Redis, and portions of five
async def test_two_processes_share_one_limit_exactly(two: list[RateLimits], rate: str) -> None:
    amount = int(rate.partition("/")[0])
    subject = uuid4().hex
    assert await tries(two, subject, rate, amount + 50) in range(amount - 5, amount + 1)
    assert await tries(two, subject, rate, 20) <= 5
    assert two[0].faults == two[1].faults == 0


async def test_subjects_have_a_limit_each(two: list[RateLimits]) -> None:
    assert [await tries(two, uuid4().hex, "3/day", 5) for _ in range(3)] == [3, 3, 3]


async def test_without_redis_a_process_keeps_to_the_limit_alone() -> None:
    limits = RateLimits(f"redis://127.0.0.1:{free_port()}/0")
    assert await tries([limits], "x", "3/day", 10) == 3
    assert limits.faults >= 1
    await limits.close()


async def test_what_is_left_goes_down_and_the_window_ends(two: list[RateLimits]) -> None:
    rate, subject = rate_of("3/day"), uuid4().hex
    states = [await two[0].take("test", subject, rate) for _ in range(3)]
    assert [state.remaining for state in states] == [2, 1, 0]
    assert all(0 < state.reset_s <= 86_400 for state in states)


@pytest_asyncio.fixture(loop_scope="session")
async def narrow(settings: Settings, resources: Resources) -> AsyncIterator[FastAPI]:
    """An API whose keys may ask five times a day."""
    import dataclasses

    narrowed = settings.override({"auth": {"api_per_key": "5/day"}})
    limits = RateLimits(None)
    yield create_app(narrowed, dataclasses.replace(resources, settings=narrowed, rate_limits=limits))
    await limits.close()


async def test_a_key_over_its_limit_is_answered_429_with_the_usual_headers(narrow: FastAPI) -> None:
    async with caller(narrow, KEY) as client:
        answers = [await client.get("/me") for _ in range(6)]

    assert [one.status_code for one in answers] == [200] * 5 + [429]
    assert [one.headers["ratelimit-remaining"] for one in answers] == ["4", "3", "2", "1", "0", "0"]
    assert answers[5].headers["ratelimit-limit"] == "5"
    assert answers[5].headers["retry-after"] == answers[5].headers["ratelimit-reset"]
    assert answers[5].json()["code"] == "RATE_LIMITED"


async def test_errors_carry_the_headers_too_and_strangers_learn_nothing(app: FastAPI, api: httpx2.AsyncClient) -> None:
    missing = await api.get(f"/workflows/{uuid4()}")
    assert missing.status_code == 404
    assert "ratelimit-limit" in missing.headers
    async with caller(app, None) as client:
        assert "ratelimit-limit" not in (await client.get("/me")).headers
