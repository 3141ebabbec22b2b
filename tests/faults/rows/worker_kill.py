"""Kill -9 one of two workers: before a call, during it, after its answer, at random."""

from __future__ import annotations

import random
import time

from tests.faults.evidence import Evidence
from tests.faults.installation import Installation
from tests.faults.kill_workers import slow_recoveries
from tests.faults.results import Result
from tests.faults.rounds import run_rounds
from tests.faults.row import Order, Row, Size


async def run(order: Order) -> Result:
    return await run_rounds(order, kill, late)


async def kill(installation: Installation, dice: random.Random) -> float:
    installation.hit(dice.choice(installation.workers))
    return time.time()


def late(evidence: Evidence) -> list[str]:
    """Calls that were cut off and made again later than the heartbeat timeout and 10 s."""
    tries = {node.key: node.tries for one in evidence.witnessed for node in one.history.nodes}
    return slow_recoveries(evidence.calls, tries)


ROW = Row("worker-kill", "kill -9 a worker", Size(500, 60), Size(10_000, 1000), 20, run)
