"""Every worker is gone for 30 s."""

from __future__ import annotations

import asyncio
import random
import time

from tests.faults.installation import Installation
from tests.faults.results import Result
from tests.faults.rounds import run_rounds
from tests.faults.row import Order, Row, Size

GONE_S = 30


async def run(order: Order) -> Result:
    return await run_rounds(order, kill_all)


async def kill_all(installation: Installation, dice: random.Random) -> float:
    """Recovery counts from when workers may run again."""
    for name in installation.workers:
        installation.processes[name].stay_down()
        installation.hit(name)
    await asyncio.sleep(GONE_S)
    for name in installation.workers:
        installation.processes[name].come_up()
    return time.time()


ROW = Row("no-workers", "kill every worker for 30 s", Size(200, 3), Size(5000, 50), 10, run)
