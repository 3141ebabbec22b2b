"""Measuring: rounds in which every subject has its turn, so that a slow minute of the machine hits all alike."""

from __future__ import annotations

import asyncio
import gc
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmarks.subjects import Subject

Cpu = Callable[[], float]


@dataclass(slots=True)
class Series:
    """Samples of one subject: milliseconds an execution, or executions a second."""

    variant: str
    samples: list[float] = field(default_factory=list[float])
    events: int = 0
    cpu_s: float = 0.0  # processor time of all processes, over all samples
    executions: int = 0


async def measure_latency(
    subjects: Sequence[Subject], cpu: Cpu, *, rounds: int, budget_s: float, warm_up: int = 2
) -> list[Series]:
    """Milliseconds from start to result, one execution at a time; fewer rounds (at least three) past the budget."""
    series = [Series(subject.variant) for subject in subjects]
    began = time.monotonic()
    for number in range(warm_up):
        if number and time.monotonic() > began + budget_s / 4:
            break
        for subject in subjects:
            await subject.check(await subject.run())
    deadline = time.monotonic() + budget_s
    for number in range(rounds):
        if number >= 3 and time.monotonic() > deadline:
            break
        for subject, one in zip(subjects, series, strict=True):
            before = cpu()
            elapsed_s, handle = await _timed(subject)
            one.cpu_s += cpu() - before
            one.executions += 1
            one.samples.append(elapsed_s * 1000)
            await subject.check(handle)
            one.events = one.events or await subject.events(handle)
    return series


async def _timed(subject: Subject) -> tuple[float, Any]:
    gc.collect()  # not in the middle of the timed part
    began = time.perf_counter()
    handle = await subject.run()
    return time.perf_counter() - began, handle


async def measure_throughput(
    subjects: Sequence[Subject],
    cpu: Cpu,
    *,
    blocks: int,
    count: int,
    in_flight: int,
    block_s: float,
    budget_s: float,
) -> list[Series]:
    """Executions a second over blocks of `count` executions, `in_flight` at once; blocks of the subjects take turns.

    A block starts nothing more after `block_s` seconds.
    """
    series = [Series(subject.variant) for subject in subjects]
    for subject in subjects:
        await run_block(subject, in_flight, in_flight)
    deadline = time.monotonic() + budget_s
    for number in range(blocks):
        if number >= 2 and time.monotonic() > deadline:
            break
        for subject, one in zip(subjects, series, strict=True):
            gc.collect()
            before, began = cpu(), time.perf_counter()
            handles = await run_block(subject, count, in_flight, block_s)
            elapsed_s = time.perf_counter() - began
            one.cpu_s += cpu() - before
            one.executions += len(handles)
            one.samples.append(len(handles) / elapsed_s)
            for handle in handles:
                await subject.check(handle)
    return series


async def run_block(subject: Subject, count: int, in_flight: int, seconds: float = math.inf) -> list[Any]:
    """Run `count` executions, `in_flight` at once, starting none after `seconds`; their handles in no set order."""
    handles: list[Any] = []
    left = iter(range(count))
    deadline = time.monotonic() + seconds

    async def work() -> None:
        for _ in left:
            handles.append(await subject.run())
            if time.monotonic() > deadline:
                return

    async with asyncio.TaskGroup() as group:
        for _ in range(in_flight):
            group.create_task(work())
    return handles
