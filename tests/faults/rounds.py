"""Rounds of one fault: executions are started, calls are under way, the fault strikes, more are started."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable

from tests.faults.evidence import Evidence
from tests.faults.examination import examine
from tests.faults.graph import document
from tests.faults.installation import CREDENTIAL, Installation, running_installation
from tests.faults.load import Load, busy
from tests.faults.results import Result
from tests.faults.row import Order

Strike = Callable[[Installation, random.Random], Awaitable[float]]
LATENCY_MS = (50, 250)  # long enough for most faults to find a call under way
WITHIN_S = (0.0, 0.5)  # after a call is under way


async def open_load(installation: Installation) -> Load:
    """A tenant with the published workflow of `tests.faults.graph`."""
    tenancy = await installation.open_tenancy()
    await installation.effects.set_latency(*LATENCY_MS)
    return Load(tenancy, await tenancy.publish(document(installation.effects.url, credential=CREDENTIAL)))


def nothing_more(_: Evidence) -> list[str]:
    return []


async def run_rounds(order: Order, strike: Strike, check: Callable[[Evidence], list[str]] = nothing_more) -> Result:
    """As many rounds as the order has faults. `strike` gives the moment from which recovery counts, and `check` says
    what is wrong beside the invariants."""
    result = order.result()
    dice = random.Random(order.seed)
    async with running_installation(order.data_dir) as installation:
        load = await open_load(installation)
        began = time.monotonic()
        faults: list[float] = []
        for number in range(order.size.faults):
            await installation.serving()
            upto = order.size.executions * (number + 1) // order.size.faults
            first = max(0, upto - load.begun) * 2 // 3
            load.start(first)
            await busy(installation)
            await asyncio.sleep(dice.uniform(*WITHIN_S))
            faults.append(await strike(installation, dice))
            load.start(max(0, upto - load.begun))
        result.violations += check(await examine(installation, load, faults, result))
        result.took_s = time.monotonic() - began
    return result
