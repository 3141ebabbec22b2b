import asyncio
from uuid import uuid4

import pytest
from redis.asyncio import Redis

from engine.activities.clients.redis_events import Hint, LiveEvents
from engine.activities.clients.redis_live import LiveView, Partial
from models.tenancy import mint_tenant
from tests.models.fixtures import valkey as valkey
from tests.models.server import ValkeyServer, free_port


async def test_hints_go_on_after_a_flush_and_are_of_one_tenant(valkey: ValkeyServer) -> None:
    tenant, stranger, first, second = mint_tenant(uuid4()), mint_tenant(uuid4()), uuid4(), uuid4()
    events, view, redis = LiveEvents(valkey.url), LiveView.open(valkey.url), Redis.from_url(valkey.url)
    view.publish_status(tenant, uuid4(), "running")
    await view.drain()
    found: list[Hint] = []
    async with asyncio.timeout(20):
        async for hints in events.hints(tenant):
            if not found and not hints:  # it listens
                view.publish_status(stranger, uuid4(), "running")
                view.publish_status(tenant, first, "running")
            found += hints
            if len(found) == 1 and hints:
                await redis.flushall()
                view.publish_partial(Partial(tenant, second, "loop.ask", (3,), 1, 2, 5, "text"))
            if len(found) == 2:
                break
    assert found == [Hint(first), Hint(second, "loop.ask[3]#1", 2, 5, "text")]
    await events.close()
    await view.close()
    await redis.aclose()


async def test_redis_that_is_away_is_told_of() -> None:
    events = LiveEvents(f"redis://127.0.0.1:{free_port()}/0")
    with pytest.raises(ConnectionError, match="Redis does not answer"):
        async for _ in events.hints(mint_tenant(uuid4())):
            pass
    await events.close()
