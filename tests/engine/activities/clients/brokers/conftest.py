from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from engine.activities.clients.brokers import BrokerPool
from engine.nodes.outbound.addresses import HttpPolicy
from tests.engine.activities.clients.brokers.sending import Client

SERVERS = ("rabbitmq", "locked_valkey", "nats")


@pytest.fixture(params=SERVERS)
def broker_url(request: pytest.FixtureRequest) -> str:
    """Each broker that can run here."""
    return request.getfixturevalue(request.param).url


@pytest_asyncio.fixture
async def pool() -> AsyncIterator[BrokerPool]:
    async with BrokerPool(HttpPolicy()) as opened:
        yield opened


@pytest.fixture
def client(pool: BrokerPool, broker_url: str) -> Client:
    return Client(pool, broker_url)
