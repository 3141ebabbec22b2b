"""Whether the API can work, and with what."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

from api.resources import Resources
from api.system.schemas import Readiness
from engine.errors import SystemFault

_PATIENCE_S = 3.0


async def readiness(resources: Resources) -> Readiness:
    """Asks PostgreSQL, Temporal and Redis at once, for `_PATIENCE_S` at most."""
    parts = {"postgresql": _ask_database(resources), "temporal": resources.temporal.check()}
    degraded, *answers = await asyncio.gather(_lacks_redis(resources), *map(_answers, parts.values()))
    missing = [name for name, answered in zip(parts, answers, strict=True) if not answered]
    return Readiness(ready=not missing, missing=missing, degraded=["redis"] if degraded else [])


async def _answers(question: Awaitable[None]) -> bool:
    try:
        async with asyncio.timeout(_PATIENCE_S):
            await question
    except (SystemFault, TimeoutError):
        return False
    return True


async def _ask_database(resources: Resources) -> None:
    async with resources.database.transaction():
        pass  # to begin and to commit is the question


async def _lacks_redis(resources: Resources) -> bool:
    """Losing Redis costs liveness alone, so it does not keep the API from working."""
    if resources.live is None:
        return True
    try:
        async with asyncio.timeout(_PATIENCE_S):
            return not await resources.live.answers()
    except TimeoutError:
        return True
