import asyncio

import pytest

from engine.expressions.fair_slots import FairSlots


async def settle() -> None:
    for _ in range(3):
        await asyncio.sleep(0)


async def test_one_owner_holds_half_at_most() -> None:
    slots = FairSlots(4)
    tasks = [asyncio.ensure_future(slots.acquire("a")) for _ in range(3)]
    await settle()
    assert [task.done() for task in tasks] == [True, True, False]
    await slots.acquire("b")  # b is let in past the a who waits
    slots.release("a")
    await settle()
    assert tasks[2].done()


async def test_first_come_first_served_among_those_who_may_enter() -> None:
    slots = FairSlots(1)
    await slots.acquire("a")
    tasks = [asyncio.ensure_future(slots.acquire(owner)) for owner in "bcd"]
    for number in range(3):
        await settle()
        assert [task.done() for task in tasks] == [index < number for index in range(3)]
        slots.release("abc"[number])
    await settle()
    assert tasks[2].done()


async def test_place_of_one_who_gave_up_is_not_lost() -> None:
    slots = FairSlots(1)
    await slots.acquire("a")
    waiting = asyncio.ensure_future(slots.acquire("b"))
    admitted = asyncio.ensure_future(slots.acquire("c"))
    await settle()
    waiting.cancel()
    await settle()
    slots.release("a")
    admitted.cancel()  # let in and cancelled in the same turn
    with pytest.raises(asyncio.CancelledError):
        await admitted
    async with asyncio.timeout(20):
        async with slots.hold("d"):
            pass
