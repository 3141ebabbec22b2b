"""Kill -9 the API between the commit of an execution and its start in Temporal: the relay starts it.

The gate before Temporal holds back what the API says, so the kill finds committed rows that Temporal never heard of.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from uuid import UUID

from engine.errors import StructForgeError
from tests.faults.examination import examine
from tests.faults.installation import Installation, running_installation
from tests.faults.load import Load, comes_true
from tests.faults.results import Result, percentile
from tests.faults.rounds import open_load
from tests.faults.row import Order, Row, Size

RELAY_LIMIT_S = 10.0
MORE_WITHIN_S = (0.0, 0.4)
HELD_S = 10.0  # until which a start must have come to the gate

_PENDING = "SELECT id FROM execution WHERE tenant_id = $1 AND status = 'pending' AND started_at IS NULL"
_STARTED = "SELECT id, started_at FROM execution WHERE tenant_id = $1 AND id = ANY ($2)"


async def run(order: Order) -> Result:
    result = order.result()
    async with running_installation(order.data_dir) as installation:
        load = await open_load(installation)
        began = time.monotonic()
        stranded: dict[UUID, float] = {}
        kills: list[float] = []
        dice = random.Random(order.seed)
        for number in range(order.size.faults):
            await installation.serving()
            load_more = order.size.executions * (number + 1) // order.size.faults - load.begun
            found, killed_at = await _strand(installation, load, load_more, dice)
            stranded |= dict.fromkeys(found, killed_at)
            kills.append(killed_at)
        await examine(installation, load, kills, result)
        await _relayed(installation, load, stranded, result)
        result.took_s = time.monotonic() - began
    return result


async def _strand(installation: Installation, load: Load, count: int, dice: random.Random) -> tuple[list[UUID], float]:
    """Start executions, and kill the API while Temporal has heard of none; gives those with a row, and the moment."""
    installation.gate.hold()
    load.start(count)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(HELD_S):
            await installation.gate.waiting.wait()

    found: list[UUID] = []

    async def any_pending() -> bool:
        async with installation.database.transaction(load.tenancy.tenant) as transaction:
            found[:] = [row[0] for row in await transaction.fetch(_PENDING, load.tenancy.tenant.uuid)]
        return bool(found)

    await comes_true(any_pending, HELD_S)
    await asyncio.sleep(dice.uniform(*MORE_WITHIN_S))  # so that a kill finds one start or several
    with contextlib.suppress(StructForgeError, OSError):
        await any_pending()
    installation.hit("api")
    killed_at = time.time()
    await installation.gate.drop()
    return list(found), killed_at


async def _relayed(installation: Installation, load: Load, stranded: dict[UUID, float], result: Result) -> None:
    """Every stranded execution began within the limit."""
    async with installation.database.transaction(load.tenancy.tenant) as transaction:
        rows = await transaction.fetch(_STARTED, load.tenancy.tenant.uuid, list(stranded))
    waits = [row[1].timestamp() - stranded[row[0]] for row in rows if row[1] is not None]
    result.figures |= {
        "executions stranded by a kill": len(stranded),
        "relayed after, median (s)": round(percentile(waits, 0.5), 2),
        "relayed after, longest (s)": round(max(waits, default=0.0), 2),
    }
    if len(stranded) < result.faults // 2:
        result.violations.append(f"only {len(stranded)} executions were stranded by {result.faults} kills")
    late = [wait for wait in waits if wait > RELAY_LIMIT_S]
    if late or len(waits) != len(stranded):
        result.violations.append(
            f"{len(late)} of {len(waits)} began more than {RELAY_LIMIT_S:g} s after the kill: {late}"
        )


ROW = Row("api-kill", "kill the API between commit and start", Size(300, 30), Size(5000, 500), 10, run)
