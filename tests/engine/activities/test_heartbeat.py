"""Activities beat early, then each second, and seldom where many run."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack

from temporalio.testing import ActivityEnvironment

from engine.activities.heartbeat import FEW, OFTEN_S, SELDOM_S, Heartbeats, Pulse


async def beats_while(pulse: Pulse, until: int) -> list[float]:
    """Seconds after its start at which an activity beats, up to beat number `until`."""
    environment, loop = ActivityEnvironment(), asyncio.get_running_loop()
    beaten: list[float] = []
    done = asyncio.Event()

    async def activity() -> None:
        with Heartbeats(pulse):
            began = loop.time()

            def note(*_: object) -> None:
                beaten.append(loop.time() - began)
                if len(beaten) == until:
                    done.set()

            environment.on_heartbeat = note
            await done.wait()

    await asyncio.wait_for(environment.run(activity), 30)
    return beaten


async def test_first_beats_come_early_and_the_next_after_a_second() -> None:
    first, second, third = await beats_while(Pulse(), 3)
    assert 0.25 <= first < 0.5  # 0.25
    assert 0.75 <= second < 1.2  # 0.25 + 0.5
    assert 1.75 <= third < 2.4  # 0.25 + 0.5 + 1.0


async def test_many_activities_beat_seldom_and_early_again_once_they_have_ended() -> None:
    pulse = Pulse()
    with ExitStack() as running:
        for _ in range(FEW + 1):
            running.enter_context(Heartbeats(pulse))
        assert [pulse.wait_s(beats) for beats in (0, 1, 9)] == [SELDOM_S] * 3
    assert pulse.running == 0
    assert [pulse.wait_s(beats) for beats in (0, 1, 2, 9)] == [0.25, 0.5, OFTEN_S, OFTEN_S]


async def test_an_activity_that_ends_soon_never_beats() -> None:
    environment, pulse = ActivityEnvironment(), Pulse()
    beaten: list[object] = []
    environment.on_heartbeat = lambda *details: beaten.append(details)

    async def activity() -> None:
        with Heartbeats(pulse):
            await asyncio.sleep(0)

    await environment.run(activity)
    later = asyncio.Event()
    pulse.set(0, later.set)  # comes due after the beat that must not come
    await asyncio.wait_for(later.wait(), 20)
    assert beaten == []
