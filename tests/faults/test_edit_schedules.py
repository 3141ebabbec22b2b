"""Temporal equals the rows after edits under kills. The full size is `make edit-schedules`."""

from __future__ import annotations

import pytest

from tests.faults.edit_schedules import run


@pytest.mark.slow  # processes start anew: half a minute on a machine that does nothing else
async def test_temporal_equals_the_rows_after_edits_a_takeover_and_a_restart() -> None:
    report = await run(edits=40, kills=1, restarts=1, seed=7)

    assert not report.violations, report.text()
    assert (report.edits.total(), report.kills, report.restarts) == (40, 1, 1), report.text()
    assert report.schedules > 0, report.text()
