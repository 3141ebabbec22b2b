"""One evaluator for all tests of this folder: real sandbox processes."""

from collections.abc import AsyncIterator

import pytest_asyncio

from engine.expressions import Evaluator


@pytest_asyncio.fixture
async def evaluator() -> AsyncIterator[Evaluator]:
    async with Evaluator(processes=1, timeout_s=0.5) as running:
        yield running
