from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio

from engine.expressions.evaluator import Evaluator


@pytest_asyncio.fixture
async def evaluator() -> AsyncIterator[Evaluator]:
    async with Evaluator(processes=1) as started:
        yield started
