"""Runs a corpus of hostile scripts through a runtime, a few at a time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from engine.errors import NodeError
from engine.nodes.scripting.ports import ScriptRequest, ScriptRuntime

LIMIT_S = 0.3
MEMORY_BYTES = 32_000_000
CODES = {"EXECUTION_FAILED", "RESOURCE_EXHAUSTED", "TIMEOUT", "OUTPUT_TOO_LARGE", "EXPRESSION_ERROR"}
INPUT = {"s": "text", "n": 1}


@dataclass(frozen=True, slots=True)
class Attempt:
    """How one hostile script ended."""

    payload: str
    outcome: Any
    took_s: float

    @property
    def is_stopped(self) -> bool:
        return isinstance(self.outcome, NodeError) and self.outcome.code in CODES


def payloads_of(text: str) -> list[str]:
    return [part.strip("\n") for part in text.split("\n---\n")]


async def attempt(runtime: ScriptRuntime, payload: str, *, owner: str = "") -> Attempt:
    request = ScriptRequest(code=payload, input=INPUT, timeout_s=LIMIT_S, memory_bytes=MEMORY_BYTES, owner=owner)
    started = time.perf_counter()
    outcome: Any
    try:
        outcome = await runtime.run(request)
    except NodeError as error:
        outcome = error
    return Attempt(payload, outcome, time.perf_counter() - started)


async def attempt_all(runtime: ScriptRuntime, payloads: Sequence[str], *, at_a_time: int = 2) -> list[Attempt]:
    """Every payload, `at_a_time` of them beside each other, so that waiting does not count as running."""
    places = asyncio.Semaphore(at_a_time)

    async def one(number: int, payload: str) -> Attempt:
        async with places:
            return await attempt(runtime, payload, owner=str(number))

    return list(await asyncio.gather(*[one(number, payload) for number, payload in enumerate(payloads)]))
