"""Executions survive kill -9 of their workers. The full size is `make kill`."""

from __future__ import annotations

from pathlib import Path

from tests.faults.kill_workers import Size, run_kills

SMALL = Size(executions=20, kills=4)


async def test_executions_survive_kills_of_their_workers(data_dir: Path) -> None:
    report = await run_kills(SMALL, data_dir)
    assert not report.problems, report.text()
    assert report.figures["executions"] == SMALL.executions
    assert report.figures["kills"] == SMALL.kills
    # Without these the run would have proved nothing: kills have hit calls, and what they hit was done again.
    assert report.figures["calls cut off by a kill"] > 0, report.text()
    assert report.figures["node activities tried again"] > 0, report.text()
