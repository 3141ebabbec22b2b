"""Alarms ring once, after their delay, in the context in which they were set."""

from __future__ import annotations

import asyncio
import contextvars

import pytest

from engine.activities.alarms import Alarms

_name: contextvars.ContextVar[str] = contextvars.ContextVar("name")


async def test_alarms_ring_in_order_and_not_before_their_delay() -> None:
    alarms, rung, done = Alarms(0.02), list[tuple[int, float]](), asyncio.Event()
    loop = asyncio.get_running_loop()
    began = loop.time()
    for number in range(3):
        alarms.set(lambda number=number: rung.append((number, loop.time() - began)))
    alarms.set(done.set)
    await asyncio.wait_for(done.wait(), 20)
    assert [number for number, _ in rung] == [0, 1, 2]
    assert all(after >= 0.02 for _, after in rung)


async def test_an_alarm_set_while_others_wait_still_gets_its_whole_delay() -> None:
    alarms, done = Alarms(0.05), asyncio.Event()
    loop = asyncio.get_running_loop()
    alarms.set(lambda: None)
    turn = asyncio.Event()
    loop.call_later(0.02, turn.set)
    await turn.wait()
    set_at = loop.time()
    alarms.set(done.set)
    await asyncio.wait_for(done.wait(), 20)
    assert loop.time() - set_at >= 0.05


async def test_a_cancelled_alarm_never_rings_and_stops_no_other() -> None:
    alarms, rung, done = Alarms(0.01), list[str](), asyncio.Event()
    first = alarms.set(lambda: rung.append("cancelled"))
    alarms.set(done.set)
    first.cancel()
    await asyncio.wait_for(done.wait(), 20)
    assert rung == []


async def test_an_alarm_may_set_the_next_one() -> None:
    alarms, rung, done = Alarms(0.01), list[int](), asyncio.Event()

    def again() -> None:
        rung.append(len(rung))
        alarms.set(again if len(rung) < 3 else done.set)

    alarms.set(again)
    await asyncio.wait_for(done.wait(), 20)
    assert rung == [0, 1, 2]


async def test_an_alarm_rings_in_the_context_in_which_it_was_set() -> None:
    alarms, seen, done = Alarms(0.01), list[str](), asyncio.Event()

    async def activity(name: str) -> None:
        _name.set(name)
        alarms.set(lambda: seen.append(_name.get()))

    await asyncio.gather(activity("a"), activity("b"))
    alarms.set(done.set)
    await asyncio.wait_for(done.wait(), 20)
    assert seen == ["a", "b"]


async def test_an_error_in_one_alarm_is_reported_and_the_others_ring() -> None:
    alarms, done, reported = Alarms(0.01), asyncio.Event(), list[BaseException]()
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context["exception"]))

    def broken() -> None:
        raise ValueError("broken")

    alarms.set(broken)
    alarms.set(done.set)
    await asyncio.wait_for(done.wait(), 20)
    assert [str(error) for error in reported] == ["broken"]


async def test_a_thousand_cancelled_alarms_hold_one_timer_of_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    loop, made = asyncio.get_running_loop(), list[float]()
    call_at = loop.call_at

    def counted(when: float, *arguments: object, **options: object) -> asyncio.TimerHandle:
        made.append(when)
        return call_at(when, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(loop, "call_at", counted)
    alarms = Alarms(30)
    for _ in range(1000):
        alarms.set(lambda: None).cancel()
    assert len(made) == 1
