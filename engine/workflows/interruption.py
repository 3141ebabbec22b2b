"""What a cancellation of the Temporal workflow must not cut short."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

Result = TypeVar("Result")


async def to_the_end(work: Coroutine[Any, Any, Result]) -> tuple[Result, bool]:
    """Await `work` whatever happens; its result, and whether the Temporal workflow was cancelled meanwhile.

    Confirming and closing the record are such work: cut short, they would leave Temporal and PostgreSQL at odds.
    """
    task = asyncio.create_task(work)
    cancelled = False
    while True:
        try:
            return await asyncio.shield(task), cancelled
        except asyncio.CancelledError:
            if task.cancelled():
                raise
            cancelled = True
