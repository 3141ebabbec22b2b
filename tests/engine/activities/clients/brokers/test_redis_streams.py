from __future__ import annotations

from collections.abc import AsyncIterator
from typing import cast

import pytest
import pytest_asyncio
from faststream.redis import RedisBroker
from redis.asyncio import Redis

from engine.activities.clients.brokers import BrokerPool
from engine.activities.clients.brokers.redis_streams import RedisLink
from engine.activities.clients.brokers.targets import parse_target
from engine.errors import NodeError
from engine.nodes.messaging.exchange import Broker
from engine.nodes.outbound.addresses import HttpPolicy
from tests.engine.activities.clients.brokers.sending import Client, outgoing, pull, queue_name
from tests.servers.valkey import LockedValkey


@pytest.fixture
def client(pool: BrokerPool, locked_valkey: LockedValkey) -> Client:
    return Client(pool, locked_valkey.url)


@pytest_asyncio.fixture
async def server(locked_valkey: LockedValkey) -> AsyncIterator[Redis]:
    async with Redis.from_url(locked_valkey.url) as opened:
        yield opened


async def test_repeated_attempt_finds_what_the_lost_one_took(client: Client, locked_valkey: LockedValkey) -> None:
    queue = queue_name()
    await client.send(outgoing(queue))
    async with BrokerPool(HttpPolicy()) as lost:  # a worker that dies: nothing is acknowledged or given back
        await Client(lost, locked_valkey.url).receive(pull(queue, "execution-7"))
    assert await client.ids(pull(queue, "another")) == []
    delivery = await client.receive(pull(queue, "execution-7"))
    assert [(message.id, message.redelivered) for message in delivery.messages] == [("id-1", True)]


async def test_what_nobody_comes_back_for_is_taken_over(client: Client, locked_valkey: LockedValkey) -> None:
    queue = queue_name()
    await client.send(outgoing(queue))
    await client.receive(pull(queue, "gone"))
    target = parse_target(Broker(locked_valkey.url, trusted=True))
    link = await RedisLink.open(target)
    link = RedisLink(link._broker, link._client, taken_over_after_s=0)  # pyright: ignore[reportPrivateUsage]
    delivery = await link.receive(pull(queue, "another"))
    await link.close()
    assert [(message.id, message.redelivered) for message in delivery.messages] == [("id-1", True)]


async def test_consumers_do_not_pile_up(client: Client, server: Redis) -> None:
    queue = queue_name()
    for number in range(5):
        await client.send(outgoing(queue, number))
        assert await client.ids(pull(queue, f"execution-{number}", max_messages=1)) == [f"id-{number}"]
        assert await client.ids(pull(queue, f"idle-{number}")) == []
    assert await server.xinfo_consumers(queue, "readers") == []
    assert (await server.xpending(queue, "readers"))["pending"] == 0


async def test_each_group_gets_every_message(client: Client) -> None:
    queue = queue_name()
    await client.send(outgoing(queue))
    assert await client.ids(pull(queue, group="one")) == ["id-1"]
    assert await client.ids(pull(queue, group="two")) == ["id-1"]


async def test_entry_of_another_program_is_read_by_its_fields(client: Client, server: Redis) -> None:
    queue = queue_name()
    name = await server.xadd(queue, {"city": "Köln", "temperature": "7"})
    delivery = await client.receive(pull(queue))
    (message,) = delivery.messages
    assert message.id == cast("bytes", name).decode()
    assert message.content_type == "application/json"
    assert message.body == b'{"city": "K\\u00f6ln", "temperature": "7"}'


async def test_entry_of_a_faststream_program_is_read(client: Client, locked_valkey: LockedValkey) -> None:
    queue = queue_name()
    broker = RedisBroker(locked_valkey.url)
    await broker.connect()
    await broker.publish({"n": 1}, stream=queue, headers={"source": "other"})
    await broker.stop()
    (message,) = (await client.receive(pull(queue))).messages
    assert (message.body, message.content_type) == (b'{"n":1}', "application/json")
    assert message.headers["source"] == "other"


async def test_stream_is_kept_to_about_its_length(client: Client, server: Redis) -> None:
    queue = queue_name()
    for number in range(300):
        await client.send(outgoing(queue, number, max_length=10))
    assert await server.xlen(queue) < 300


async def test_key_that_is_no_stream_is_a_configuration_error(client: Client, server: Redis) -> None:
    queue = queue_name()
    await server.set(queue, "text")
    for operation in (client.send(outgoing(queue)), client.receive(pull(queue))):
        with pytest.raises(NodeError, match="no stream") as caught:
            await operation
        assert caught.value.code == "INVALID_CONFIG"


async def test_entry_that_was_deleted_while_it_was_held_is_passed_over(client: Client, server: Redis) -> None:
    queue = queue_name()
    await client.send(outgoing(queue, 1))
    await client.send(outgoing(queue, 2))
    await client.receive(pull(queue, "execution-7"))
    entries = cast("list[tuple[bytes, object]]", await server.xrange(queue))
    await server.xdel(queue, entries[0][0])
    assert await client.ids(pull(queue, "execution-7")) == ["id-2"]
