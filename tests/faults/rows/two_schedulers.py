"""Two schedulers at once, killed and started again at random, while schedules fire every second."""

from __future__ import annotations

import time

from tests.faults import kill_schedulers
from tests.faults.results import Result
from tests.faults.row import Order, Row, Size

SCHEDULES = 25


async def run(order: Order) -> Result:
    result = order.result()
    began = time.monotonic()
    result.violations += await kill_schedulers.run(SCHEDULES, order.size.executions // SCHEDULES, order.seed)
    result.executions, result.faults = order.size.executions, SCHEDULES
    result.took_s = time.monotonic() - began
    return result


ROW = Row("two-schedulers", "two scheduler_syncs at once", Size(SCHEDULES * 10, 1), Size(SCHEDULES * 40, 1), 4, run)
