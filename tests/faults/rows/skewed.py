"""Schedules that fire while every process of ours believes that it is another hour."""

from __future__ import annotations

from pathlib import Path

from tests.faults.installation import running_installation
from tests.faults.kill_schedulers import make_schedules, until_all_have_fired, wrong_fires
from tests.faults.results import Result


async def run_skewed(data_dir: Path, clock: Path, shift_s: int, schedules: int, ticks: int, result: Result) -> None:
    """Fire each schedule so often; every fire must start one execution, a second after the one before.

    `clock` is a library that moves the clock of a process by the seconds in FAULTS_CLOCK_S.
    """
    environment = {"LD_PRELOAD": str(clock), "FAULTS_CLOCK_S": str(shift_s)}
    async with running_installation(data_dir, workers=1, schedulers=2, environment=environment) as installation:
        tenancy = await installation.open_tenancy()
        workflows = await make_schedules(installation.database, tenancy.tenant, schedules, ticks)
        try:
            await until_all_have_fired(installation.database, tenancy.tenant, workflows, ticks)
        except TimeoutError:
            result.violations.append(f"with clocks {shift_s} s off, not every schedule had fired in time")
        wrong = await wrong_fires(installation.database, tenancy.tenant, workflows, ticks)
        result.violations += [f"with clocks {shift_s} s off: {problem}" for problem in wrong]
        result.executions += schedules * ticks
        result.faults += 1
