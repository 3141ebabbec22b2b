"""What holds for every kind of broker, on real servers."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import pytest

from engine.activities.clients.brokers import BrokerPool
from engine.errors import NodeError
from engine.nodes.messaging.exchange import Broker
from engine.nodes.outbound.addresses import HttpPolicy
from tests.engine.activities.clients.brokers.sending import Client, outgoing, pull, queue_name
from tests.servers.nats import open_nats
from tests.servers.rabbitmq import RabbitServer
from tests.servers.valkey import open_locked_valkey


async def test_message_arrives_as_it_was_sent(client: Client) -> None:
    queue, before_s = queue_name(), time.time()
    await client.send(outgoing(queue, headers={"source": "shop", "x-city": "Köln"}))
    delivery = await client.receive(pull(queue))
    assert delivery.receipt is not None
    await delivery.receipt.acknowledge()
    (message,) = delivery.messages
    assert (message.id, message.body, message.content_type) == ("id-1", b'{"n":1}', "application/json")
    assert message.headers == {"source": "shop", "x-city": "Köln"}
    assert message.redelivered is False
    assert message.timestamp_s is not None
    assert abs(message.timestamp_s - before_s) < 30


async def test_released_message_comes_again_with_its_id(client: Client) -> None:
    queue = queue_name()
    await client.send(outgoing(queue))
    first = await client.receive(pull(queue))
    assert first.receipt is not None
    await first.receipt.release()
    second = await client.receive(pull(queue, "second", wait_s=5))
    assert [(message.id, message.redelivered) for message in second.messages] == [("id-1", True)]


async def test_acknowledged_message_never_comes_again(client: Client) -> None:
    queue = queue_name()
    await client.send(outgoing(queue))
    assert await client.ids(pull(queue)) == ["id-1"]
    assert await client.ids(pull(queue)) == []
    assert await client.ids(pull(queue, "second")) == []


async def test_held_message_goes_to_nobody_else(client: Client) -> None:
    queue = queue_name()
    await client.send(outgoing(queue))
    held = await client.receive(pull(queue))
    assert await client.ids(pull(queue, "second")) == []
    assert held.receipt is not None
    await held.receipt.acknowledge()
    await held.receipt.release()  # too late to change anything
    assert await client.ids(pull(queue, "third")) == []


async def test_most_messages_bound_what_is_taken_and_the_rest_stays_in_order(client: Client) -> None:
    queue = queue_name()
    for number in range(1, 6):
        await client.send(outgoing(queue, number))
    assert await client.ids(pull(queue, max_messages=2)) == ["id-1", "id-2"]
    assert await client.ids(pull(queue, max_messages=10)) == ["id-3", "id-4", "id-5"]


async def test_more_messages_than_one_round_brings_are_all_taken(client: Client) -> None:
    queue = queue_name()
    await asyncio.gather(*(client.send(outgoing(queue, number)) for number in range(150)))
    found = await client.ids(pull(queue, max_messages=1000, max_bytes=100_000))
    assert sorted(map(str, found)) == sorted(f"id-{number}" for number in range(150))


async def test_most_bytes_bound_what_is_taken_and_the_rest_stays(client: Client) -> None:
    queue = queue_name()
    for number in range(3):
        await client.send(outgoing(queue, number, body=b"x" * 400))
    # Redis counts the other fields of an entry too: id, content type and headers, 63 bytes. 2 * 463 < 1000 < 3 * 400.
    assert await client.ids(pull(queue, max_bytes=1000)) == ["id-0", "id-1"]
    assert await client.ids(pull(queue, "second", max_bytes=1000, wait_s=5)) == ["id-2"]


async def test_message_that_never_fits_is_an_error_and_stays(client: Client) -> None:
    queue = queue_name()
    await client.send(outgoing(queue, body=b"x" * 2000))
    with pytest.raises(NodeError, match="raise max_bytes") as caught:
        await client.receive(pull(queue))
    assert caught.value.code == "OUTPUT_TOO_LARGE"
    assert await client.ids(pull(queue, "second", max_bytes=5000, wait_s=5)) == ["id-1"]


async def test_receive_waits_for_the_first_message(client: Client) -> None:
    queue = queue_name()
    waiting = asyncio.create_task(client.ids(pull(queue, wait_s=30), timeout_s=60))
    await client.send(outgoing(queue_name()))  # the wait has begun by the time that this is confirmed
    started = time.monotonic()
    await client.send(outgoing(queue))
    assert await waiting == ["id-1"]
    assert time.monotonic() - started < 20


async def test_empty_queue_gives_nothing_once_the_wait_is_over(client: Client) -> None:
    queue = queue_name()
    await client.ids(pull(queue))  # makes it
    started = time.monotonic()
    assert await client.ids(pull(queue, wait_s=0.5)) == []
    assert 0.4 < time.monotonic() - started < 15


async def test_cancelled_receive_keeps_nothing(client: Client) -> None:
    queue = queue_name()
    await client.ids(pull(queue))
    waiting = asyncio.create_task(client.receive(pull(queue, wait_s=30), timeout_s=40))
    await client.send(outgoing(queue_name()))
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await client.send(outgoing(queue))
    assert await client.ids(pull(queue, "second", wait_s=5)) == ["id-1"]


async def test_many_at_once_share_one_link(client: Client) -> None:
    queues = [queue_name() for _ in range(20)]
    await asyncio.gather(*(client.send(outgoing(queue)) for queue in queues))
    assert await asyncio.gather(*(client.ids(pull(queue, wait_s=5)) for queue in queues)) == [["id-1"]] * 20
    assert client.pool.links == 1


async def test_wrong_password_is_denied_without_a_word_of_it(pool: BrokerPool, broker_url: str) -> None:
    wrong = Client(pool, broker_url.replace("canary", "wr0ng-secret"))
    with pytest.raises(NodeError) as caught:
        await wrong.send(outgoing(queue_name()))
    assert caught.value.code == "ACCESS_DENIED"
    assert not caught.value.retryable
    assert "wr0ng" not in repr(caught.value.as_dict())


async def test_address_that_nobody_vouches_for_passes_the_guard(broker_url: str) -> None:
    stranger = Broker(broker_url, trusted=False)
    async with BrokerPool(HttpPolicy()) as pool:
        with pytest.raises(NodeError) as caught:
            await pool.send(stranger, outgoing(queue_name()), timeout_s=10)
        assert caught.value.code == "BLOCKED_ADDRESS"
        assert pool.links == 0
    async with BrokerPool(HttpPolicy(allowed_hosts=["127.0.0.1"])) as pool:
        await pool.send(stranger, outgoing(queue_name()), timeout_s=10)


@pytest.mark.parametrize("kind", ["rabbitmq", "nats", "valkey"])
async def test_send_after_a_restart_goes_through_and_one_before_it_is_a_typed_failure(
    kind: str, pool: BrokerPool, request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture
) -> None:
    queue = queue_name()
    caplog.set_level(logging.DEBUG)
    with _restartable(kind, request) as server:
        client = Client(pool, server.url)
        await client.send(outgoing(queue, 1))
        server.kill()
        started = time.monotonic()
        with pytest.raises(NodeError) as caught:
            await client.send(outgoing(queue, 2), timeout_s=5)
        server.start()
        assert (caught.value.code, caught.value.retryable) == ("EXTERNAL_ERROR", True)
        assert time.monotonic() - started < 60
        await client.send(outgoing(queue, 3))
        assert "id-3" in await client.ids(pull(queue, wait_s=5))
        assert pool.links == 1
    assert "canary" not in repr(caught.value.as_dict()) + caplog.text


@contextmanager
def _restartable(kind: str, request: pytest.FixtureRequest) -> Generator[Any]:
    """A server to kill: of RabbitMQ, which takes long to start, the one that all share."""
    if kind == "rabbitmq":
        yield request.getfixturevalue("rabbitmq")
        return
    with open_nats() if kind == "nats" else open_locked_valkey() as server:
        yield server


async def test_broker_that_stops_answering_ends_in_a_timeout_that_may_be_retried(
    pool: BrokerPool, rabbitmq: RabbitServer
) -> None:
    client = Client(pool, rabbitmq.url)
    await client.send(outgoing(queue_name()))
    rabbitmq.freeze(True)
    started = time.monotonic()
    try:
        with pytest.raises(NodeError) as caught:
            await client.send(outgoing(queue_name()), timeout_s=1)
    finally:
        rabbitmq.freeze(False)
    assert (caught.value.code, caught.value.retryable) == ("TIMEOUT", True)  # nothing had been sent
    assert time.monotonic() - started < 20
