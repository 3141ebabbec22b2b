from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.engine.nodes.ai.direct import DirectModels, direct_models


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running() -> AsyncIterator[DirectModels]:
    async with direct_models() as opened:
        yield opened


@pytest.fixture
def models(running: DirectModels) -> DirectModels:
    """The module's models, with neither calls nor scripts of another test."""
    running.server.forget()
    running.calls.clear()
    return running
