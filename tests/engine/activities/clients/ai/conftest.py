from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from engine.activities.clients.ai.registry import AiProviders
from engine.nodes.outbound.addresses import HttpPolicy
from tests.ai_server import AiServer, running_ai_server
from tests.engine.activities.clients.ai.asking import PROTOCOLS, Model


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running() -> AsyncIterator[AiServer]:
    async with running_ai_server() as server:
        yield server


@pytest.fixture
def server(running: AiServer) -> AiServer:
    """The module's server, with neither calls nor scripts of another test."""
    running.forget()
    return running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def providers() -> AsyncIterator[AiProviders]:
    """All providers behind a guard that lets loopback through."""
    opened = AiProviders(HttpPolicy(allowed_hosts=["127.0.0.0/8"]))
    yield opened
    await opened.aclose()


@pytest.fixture(params=PROTOCOLS)
def model(request: pytest.FixtureRequest, server: AiServer, providers: AiProviders) -> Model:
    """A model by each of the protocols."""
    return Model(request.param, server, providers)
