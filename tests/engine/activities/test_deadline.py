"""A deadline bounds what waits, and leaves what does not wait alone."""

from __future__ import annotations

import asyncio

import pytest

from engine.activities.deadline import within


async def test_what_never_waits_gives_its_result_without_a_timer(monkeypatch: pytest.MonkeyPatch) -> None:
    async def at_once() -> int:
        return 7

    monkeypatch.setattr(asyncio, "timeout", lambda _: pytest.fail("a timer was set"))
    assert await within(1, at_once()) == 7


async def test_what_waits_goes_on_with_what_it_waited_for() -> None:
    first: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    second: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_soon(first.set_result, 1)
    asyncio.get_running_loop().call_later(0.001, second.set_result, 2)

    async def sums() -> int:
        return await first + await second

    assert await within(5, sums()) == 3


async def test_past_the_deadline_it_is_cancelled_and_cleans_up() -> None:
    cleaned = []

    async def forever() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cleaned.append(True)

    with pytest.raises(TimeoutError):
        await within(0.01, forever())
    assert cleaned == [True]


@pytest.mark.parametrize("waits", [False, True])
async def test_an_error_comes_out_as_it_is(waits: bool) -> None:
    async def breaks() -> None:
        if waits:
            await asyncio.sleep(0)
        raise KeyError("x")

    with pytest.raises(KeyError, match="x"):
        await within(1, breaks())


async def test_an_error_of_what_it_waits_for_can_be_caught_inside() -> None:
    broken: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_soon(broken.set_exception, ValueError("outside"))

    async def catches() -> str:
        try:
            await broken
        except ValueError as error:
            await asyncio.sleep(0)
            return str(error)
        return ""

    assert await within(1, catches()) == "outside"


async def test_cancelling_the_caller_cancels_what_it_waits_for() -> None:
    begun, ended = asyncio.Event(), []

    async def waits() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise

    task = asyncio.create_task(within(30, waits()))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended == ["cancelled"]
