"""Scheduler processes that are killed while they hand events on."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from uuid import UUID

import pytest

from engine.settings import Settings
from tests.api.events.conftest import Home

ROOT = Path(__file__).parents[3]
pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.slow]


async def _scheduler(settings: Settings) -> asyncio.subprocess.Process:
    environment = {**os.environ, **settings.as_environment()}
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "scheduler_sync", cwd=ROOT, env=environment, stderr=asyncio.subprocess.DEVNULL
    )


async def test_killed_schedulers_start_one_execution_for_each_event(home: Home, settings: Settings) -> None:
    workflow = await home.publish_workflow("order.created", event_filter="event.data.n % 2 == 0")
    schedulers = [await _scheduler(settings) for _ in range(2)]
    events: list[str] = []
    try:
        for round_number in range(6):
            events += [await home.publish(data={"n": number}) for number in range(40)]
            await home.settled(events[40 * round_number])  # somebody is at it
            victim = round_number % 2
            schedulers[victim].kill()
            await schedulers[victim].wait()
            schedulers[victim] = await _scheduler(settings)
        async with asyncio.timeout(120):
            for event_id in events:
                while (await home.event(event_id))["state"] == "waiting":
                    await home.dispatcher.run_once()
    finally:
        for process in schedulers:
            process.kill()
            await process.wait()
    executions = await _all_of(home, workflow)
    ended = [await home.ended(UUID(one["id"])) for one in executions]
    assert len(ended) == len(events) / 2
    assert {execution.status for execution in ended} == {"success"}
    assert len({execution.labels["event"] for execution in ended}) == len(ended)


async def _all_of(home: Home, workflow: str) -> list[dict[str, str]]:
    return [one for one in await home.of(workflow) if one["workflow_id"] == workflow]
