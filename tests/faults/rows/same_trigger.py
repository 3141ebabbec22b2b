"""The same start ten times at once, again and again: one execution each."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from typing import Any
from uuid import UUID

from tests.faults.examination import ends, examine_kept
from tests.faults.installation import Tenancy, running_installation
from tests.faults.load import FIRST_INPUT, Load
from tests.faults.results import Result
from tests.faults.row import Order, Row, Size

AT_ONCE = 10
KEYS_AT_ONCE = 4


async def run(order: Order) -> Result:
    result = order.result()
    async with running_installation(order.data_dir) as installation:
        tenancy = await installation.open_tenancy()
        load = Load(tenancy, await tenancy.publish(document()))
        began = time.monotonic()
        gate = asyncio.Semaphore(KEYS_AT_ONCE)

        async def one(number: int) -> None:
            async with gate:
                await _ten(load, f"{order.seed}-{number}", FIRST_INPUT + number, result)

        await asyncio.gather(*(one(number) for number in range(order.size.executions)))
        await ends(installation, load, result)
        await examine_kept(installation, [load], result)
        result.executions, result.faults = len(load.answered), order.size.executions
        result.figures |= {"starts": sum(load.answers.values()), "answers": str(dict(load.answers))}
        if len(load.answered) != order.size.executions:
            result.violations.append(f"{len(load.answered)} executions for {order.size.executions} triggers")
        result.took_s = time.monotonic() - began
    return result


def document() -> dict[str, Any]:
    nodes = [
        {"id": "start", "type": "manual"},
        {"id": "step", "type": "transform", "params": {"mapping": {"n": "{{ input.n + 1 }}"}}},
    ]
    return {"name": "once", "nodes": nodes, "edges": [{"source": "start", "target": "step"}]}


async def _ten(load: Load, key: str, n: int, result: Result) -> None:
    answers = await asyncio.gather(*(_start(load.tenancy, load.workflow, key, n) for _ in range(AT_ONCE)))
    load.answers.update(str(status) for status, _ in answers)
    found = Counter(execution for _, execution in answers if execution is not None)
    load.answered |= dict.fromkeys(found, n)
    if len(found) != 1 or any(status >= 300 for status, _ in answers):
        result.violations.append(f"key {key} was answered {answers}")


async def _start(tenancy: Tenancy, workflow: UUID, key: str, n: int) -> tuple[int, UUID | None]:
    answer = await tenancy.client.post(
        f"/workflows/{workflow}/execute", json={"input": {"n": n}}, headers={"Idempotency-Key": key}
    )
    return answer.status_code, UUID(answer.json()["id"]) if answer.is_success else None


ROW = Row("same-trigger", "the same trigger ten times at once", Size(200, 200), Size(2000, 2000), 2, run)
