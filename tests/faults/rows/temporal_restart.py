"""Temporal ends, by SIGTERM or kill -9, and comes back; the API answers 202 or 503 meanwhile."""

from __future__ import annotations

import random
import signal
import time

from tests.faults.installation import Installation
from tests.faults.results import Result
from tests.faults.rounds import run_rounds
from tests.faults.row import Order, Row, Size


async def run(order: Order) -> Result:
    return await run_rounds(order, restart)


async def restart(installation: Installation, dice: random.Random) -> float:
    installation.hit("temporal", dice.choice((signal.SIGTERM, signal.SIGKILL)))
    return time.time()


ROW = Row("temporal-restart", "restart Temporal", Size(300, 3), Size(5000, 50), 10, run)
