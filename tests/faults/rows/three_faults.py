"""Three faults at a time, out of all that can be done to a process, for as long as the order says."""

from __future__ import annotations

import asyncio
import random
import signal
import time
from collections import Counter
from collections.abc import Callable

from tests.faults.examination import examine
from tests.faults.installation import Installation, running_installation
from tests.faults.results import Result
from tests.faults.rounds import open_load
from tests.faults.row import Order, Row, Size
from tests.faults.rows.live_view import flush

AT_A_TIME = 3
PAUSE_S = (2.0, 8.0)
# What is hit, how often among the faults, and by which signals.
_BLOWS: dict[str, tuple[int, tuple[signal.Signals, ...]]] = {
    "worker-0": (3, (signal.SIGKILL, signal.SIGTERM)),
    "worker-1": (3, (signal.SIGKILL, signal.SIGTERM)),
    "api": (2, (signal.SIGKILL, signal.SIGTERM)),
    "scheduler-0": (1, (signal.SIGKILL,)),
    "scheduler-1": (1, (signal.SIGKILL,)),
    "temporal": (2, (signal.SIGKILL, signal.SIGTERM)),
    "postgres": (2, (signal.SIGINT, signal.SIGQUIT)),
    "valkey": (2, (signal.SIGKILL, signal.SIGTERM)),
}


async def run(order: Order) -> Result:
    """`faults` of the order are the seconds that it lasts; those of the result are the blows."""
    result = order.result()
    async with running_installation(order.data_dir, schedulers=2) as installation:
        load = await open_load(installation)
        began = time.monotonic()
        struck: Counter[str] = Counter()
        moments: list[float] = []
        hands = [
            asyncio.create_task(_strike(installation, random.Random(f"{order.seed}-{hand}"), struck, moments))
            for hand in range(AT_A_TIME)
        ]
        try:
            for number in range(order.size.faults):
                load.start(order.size.executions * (number + 1) // order.size.faults - load.begun)
                await asyncio.sleep(1)
        finally:
            for hand in hands:
                hand.cancel()
            ended = await asyncio.gather(*hands, return_exceptions=True)
        result.violations += [f"the injector failed: {one!r}" for one in ended if isinstance(one, Exception)]
        await examine(installation, load, moments, result)
        result.figures["blows"] = " ".join(f"{name}:{count}" for name, count in sorted(struck.items()))
        result.took_s = time.monotonic() - began
    return result


async def _strike(installation: Installation, dice: random.Random, struck: Counter[str], moments: list[float]) -> None:
    """One of the hands that strike, each at its own moments."""
    names = [*_BLOWS]
    weights = [_BLOWS[name][0] for name in names]
    choose: Callable[[], str] = lambda: dice.choices([*names, "flush"], [*weights, 1])[0]  # noqa: E731
    while True:
        await asyncio.sleep(dice.uniform(*PAUSE_S))
        name = choose()
        if name == "flush":
            await flush(installation)
        elif not installation.hit(name, dice.choice(_BLOWS[name][1])):
            continue  # it is down already
        struck[name] += 1
        moments.append(time.time())


ROW = Row("three-faults", "three random faults together", Size(150, 75), Size(28_800, 14_400), 48, run)
