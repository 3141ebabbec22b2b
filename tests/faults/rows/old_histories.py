"""New worker code over every committed history: none may be told differently."""

from __future__ import annotations

import time

from tests.faults.results import Result
from tests.faults.row import Order, Row, Size
from tests.faults.suites import ROOT, run_tests

_HISTORIES = sum(1 for path in (ROOT / "tests/replay/histories").rglob("*") if path.is_file())


async def run(order: Order) -> Result:
    result = order.result()
    began = time.monotonic()
    await run_tests(result, "tests/replay/test_replay.py")
    result.faults = _HISTORIES
    result.took_s = time.monotonic() - began
    return result


ROW = Row("old-histories", "new worker code over old histories", Size(0, 1), Size(0, 1), 1, run)
