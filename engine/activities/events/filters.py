"""Filters of event triggers, in a sandbox of the scheduler's process that is started for the first one."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from engine.expressions import Evaluator, Expression, Request


class Filters:
    """An evaluator that costs nothing before it is needed. Close it at the end."""

    def __init__(self, *, timeout_s: float = 1.0, memory_bytes: int = 64 * 1024 * 1024) -> None:
        self._evaluator = Evaluator(processes=1, timeout_s=timeout_s, memory_bytes=memory_bytes)
        self._lock = asyncio.Lock()
        self._started = False

    async def evaluate(self, requests: Sequence[Request]) -> list[Any]:
        """One result or NodeError for each request, in order."""
        return await (await self._ready()).evaluate(requests)

    async def map_items(self, expression: Expression, items: Sequence[Any], names: Mapping[str, Any]) -> list[Any]:
        """One result or NodeError for each item."""
        return await (await self._ready()).map_items(expression, items, names)

    async def close(self) -> None:
        if self._started:
            await self._evaluator.close()

    async def _ready(self) -> Evaluator:
        async with self._lock:
            if not self._started:
                await self._evaluator.start()
                self._started = True
        return self._evaluator
