from __future__ import annotations

from collections.abc import AsyncIterator

import aio_pika
import pytest
import pytest_asyncio
from aio_pika.abc import AbstractChannel
from pamqp.common import FieldTable

from engine.activities.clients.brokers import BrokerPool
from engine.errors import NodeError
from engine.nodes.outbound.addresses import HttpPolicy
from tests.engine.activities.clients.brokers.sending import Client, outgoing, pull, queue_name
from tests.servers.rabbitmq import RabbitServer


@pytest.fixture
def client(pool: BrokerPool, rabbitmq: RabbitServer) -> Client:
    return Client(pool, rabbitmq.url)


@pytest_asyncio.fixture
async def channel(rabbitmq: RabbitServer) -> AsyncIterator[AbstractChannel]:
    async with await aio_pika.connect(rabbitmq.url) as connection:
        yield await connection.channel()


async def test_message_that_reaches_no_queue_is_an_error(client: Client, channel: AbstractChannel) -> None:
    with pytest.raises(NodeError, match="has no queue") as caught:
        await client.send(outgoing(queue_name(), create=False))
    assert (caught.value.code, caught.value.retryable) == ("EXTERNAL_ERROR", False)
    exchange = await channel.declare_exchange(queue_name(), "topic", auto_delete=True)
    with pytest.raises(NodeError, match="routing key order"):
        await client.send(outgoing(queue_name(), exchange=exchange.name, key="order.created"))
    with pytest.raises(NodeError, match="no exchange"):
        await client.send(outgoing(queue_name(), exchange="missing-exchange"))


async def test_exchange_routes_by_key(client: Client, channel: AbstractChannel) -> None:
    exchange = await channel.declare_exchange(queue_name(), "topic", auto_delete=True)
    queue = await channel.declare_queue(queue_name(), durable=True)
    await queue.bind(exchange, "order.*")
    await client.send(outgoing("ignored", exchange=exchange.name, key="order.created"))
    delivery = await client.receive(pull(queue.name, wait_s=5))
    assert [(message.id, message.key) for message in delivery.messages] == [("id-1", "order.created")]


async def test_exchange_that_may_not_be_sent_to_is_denied_and_others_are_not_hurt(
    client: Client, channel: AbstractChannel
) -> None:
    exchange = await channel.declare_exchange(queue_name(), "topic", internal=True, auto_delete=True)
    with pytest.raises(NodeError) as caught:
        await client.send(outgoing(queue_name(), exchange=exchange.name, key="order.created"))
    assert (caught.value.code, caught.value.retryable) == ("ACCESS_DENIED", False)
    queue = queue_name()
    await client.send(outgoing(queue))
    assert await client.ids(pull(queue)) == ["id-1"]


async def test_key_needs_an_exchange(client: Client) -> None:
    with pytest.raises(NodeError, match="exchange") as caught:
        await client.send(outgoing(queue_name(), key="order.created"))
    assert caught.value.code == "INVALID_CONFIG"


async def test_message_is_persistent_with_its_id_and_type(client: Client, channel: AbstractChannel) -> None:
    queue = await channel.declare_queue(queue_name(), durable=True)
    await client.send(outgoing(queue.name, create=False))
    message = await queue.get()
    assert message.delivery_mode == aio_pika.DeliveryMode.PERSISTENT
    assert (message.message_id, message.content_type, message.app_id) == ("id-1", "application/json", "structforge")


async def test_queue_that_takes_no_more_is_a_failure_worth_another_attempt(
    client: Client, channel: AbstractChannel
) -> None:
    full: FieldTable = {"x-max-length": 1, "x-overflow": "reject-publish"}
    queue = await channel.declare_queue(queue_name(), durable=True, arguments=full)
    await client.send(outgoing(queue.name, 1))
    with pytest.raises(NodeError) as caught:
        await client.send(outgoing(queue.name, 2))
    assert (caught.value.code, caught.value.retryable) == ("RESOURCE_EXHAUSTED", True)
    assert await client.ids(pull(queue.name)) == ["id-1"]


async def test_missing_queue_is_an_error_unless_it_is_to_be_made(client: Client) -> None:
    queue = queue_name()
    with pytest.raises(NodeError, match=f"no queue {queue}") as caught:
        await client.receive(pull(queue, create=False))
    assert caught.value.code == "EXTERNAL_ERROR"
    assert await client.ids(pull(queue, create=True)) == []
    assert await client.ids(pull(queue, create=False)) == []


async def test_worker_that_dies_with_messages_gives_them_back(client: Client, rabbitmq: RabbitServer) -> None:
    queue = queue_name()
    await client.send(outgoing(queue))
    async with BrokerPool(HttpPolicy()) as lost:
        await Client(lost, rabbitmq.url).receive(pull(queue))
    delivery = await client.receive(pull(queue, wait_s=5))
    assert [(message.id, message.redelivered) for message in delivery.messages] == [("id-1", True)]


async def test_message_of_another_program_is_read(client: Client, channel: AbstractChannel) -> None:
    queue = await channel.declare_queue(queue_name(), durable=True)
    headers: FieldTable = {"count": 3, "list": [1, "two"]}
    await channel.default_exchange.publish(aio_pika.Message(b"hello", headers=headers), queue.name)
    (message,) = (await client.receive(pull(queue.name, wait_s=5))).messages
    assert (message.body, message.content_type, message.timestamp_s) == (b"hello", None, None)
    assert message.headers == {"count": "3", "list": '[1, "two"]'}


async def test_missing_virtual_host_is_denied(pool: BrokerPool, rabbitmq: RabbitServer) -> None:
    with pytest.raises(NodeError, match="virtual host") as caught:
        await Client(pool, f"{rabbitmq.url}nowhere").send(outgoing(queue_name()))
    assert caught.value.code == "ACCESS_DENIED"
