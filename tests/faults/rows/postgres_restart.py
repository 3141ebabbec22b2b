"""PostgreSQL is restarted, by its fast and by its immediate shutdown."""

from __future__ import annotations

import random
import signal
import time

from tests.faults.installation import Installation
from tests.faults.results import Result
from tests.faults.rounds import run_rounds
from tests.faults.row import Order, Row, Size

FAST, IMMEDIATE = signal.SIGINT, signal.SIGQUIT


async def run(order: Order) -> Result:
    return await run_rounds(order, restart)


async def restart(installation: Installation, dice: random.Random) -> float:
    installation.hit("postgres", dice.choice((FAST, IMMEDIATE)))
    return time.time()


ROW = Row("postgres-restart", "restart PostgreSQL, fast and immediate", Size(500, 10), Size(25_000, 300), 50, run)
