from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import nats as driver
import pytest
import pytest_asyncio
from nats.aio.client import Client as Driver
from nats.js.api import AckPolicy, ConsumerConfig

from engine.activities.clients.brokers import BrokerPool, jetstream
from engine.errors import NodeError
from engine.nodes.outbound.addresses import HttpPolicy
from tests.engine.activities.clients.brokers.sending import Client, outgoing, pull, queue_name
from tests.servers.nats import NatsServer


@pytest.fixture
def client(pool: BrokerPool, nats: NatsServer) -> Client:
    return Client(pool, nats.url)


@pytest_asyncio.fixture
async def server(nats: NatsServer) -> AsyncIterator[Driver]:
    connection = await driver.connect(nats.url)
    yield connection
    await connection.close()


async def test_repeated_id_is_stored_once(client: Client) -> None:
    queue = queue_name()
    await client.send(outgoing(queue))
    await client.send(outgoing(queue))
    assert await client.ids(pull(queue)) == ["id-1"]


@pytest.mark.parametrize("ran_out", [TimeoutError, driver.errors.TimeoutError])
async def test_empty_stream_is_no_error_wherever_the_driver_runs_out_of_time(ran_out: type[Exception]) -> None:
    class Empty:
        async def fetch(self, count: int, timeout: float) -> list[Any]:  # noqa: ASYNC109 - as the driver has it
            raise ran_out

    taken: list[Any] = []
    assert await jetstream._take(Empty(), pull("orders"), taken) == []  # pyright: ignore[reportPrivateUsage]  # its driver is handed in
    assert taken == []


async def test_subject_without_a_stream_is_an_error_and_loses_nothing(client: Client) -> None:
    for operation in (
        client.send(outgoing(queue_name(), create=False)),
        client.receive(pull("no.where", create=False)),
    ):
        with pytest.raises(NodeError, match="no stream") as caught:
            await operation
        assert (caught.value.code, caught.value.retryable) == ("EXTERNAL_ERROR", False)


async def test_worker_that_dies_with_messages_loses_none(client: Client, server: Driver, nats: NatsServer) -> None:
    subject = queue_name()
    await client.send(outgoing(subject))
    streams = server.jetstream()
    stream = await streams.find_stream_name_by_subject(subject)
    quick = ConsumerConfig(durable_name="quick", ack_policy=AckPolicy.EXPLICIT, ack_wait=0.5)
    await streams.add_consumer(stream, quick)  # a consumer that is called like the group is used as it is
    async with BrokerPool(HttpPolicy()) as lost:
        held = await Client(lost, nats.url).receive(pull(subject, group="quick"))
        assert len(held.messages) == 1
    again = await client.receive(pull(subject, group="quick", wait_s=5))
    assert [(message.id, message.redelivered) for message in again.messages] == [("id-1", True)]


async def test_groups_and_subjects_of_one_stream_do_not_mix(client: Client, server: Driver) -> None:
    base = queue_name()
    await server.jetstream().add_stream(name=base, subjects=[f"{base}.*"])
    await client.send(outgoing(f"{base}.a", 1))
    await client.send(outgoing(f"{base}.b", 2))
    assert await client.ids(pull(f"{base}.a")) == ["id-1"]
    assert await client.ids(pull(f"{base}.b")) == ["id-2"]
    delivery = await client.receive(pull(f"{base}.*", group="all"))
    assert [message.key for message in delivery.messages] == [f"{base}.a", f"{base}.b"]


@pytest.mark.parametrize("subject", ["a b", "a..b", "a.*", ">", "a.\tb"])
async def test_subject_that_cannot_be_sent_to_is_refused_before_it_is(client: Client, subject: str) -> None:
    with pytest.raises(NodeError, match="subject") as caught:
        await client.send(outgoing(subject))
    assert caught.value.code == "INVALID_CONFIG"


@pytest.mark.parametrize("more", [{"queue": "a.>.b"}, {"queue": "a b"}, {"group": "a.b"}])
async def test_bad_subject_or_group_of_a_receive_is_refused(client: Client, more: dict[str, Any]) -> None:
    fields = {"queue": "a", **more}
    with pytest.raises(NodeError) as caught:
        await client.receive(pull(fields.pop("queue"), **fields))
    assert caught.value.code == "INVALID_CONFIG"


async def test_message_larger_than_the_server_takes_is_refused(client: Client) -> None:
    with pytest.raises(NodeError, match="larger") as caught:
        await client.send(outgoing(queue_name(), body=b"x" * 1_100_000))
    assert caught.value.code == "OUTPUT_TOO_LARGE"


async def test_stream_that_is_full_is_a_failure_worth_another_attempt(client: Client, server: Driver) -> None:
    subject = queue_name()
    limits: dict[str, Any] = {"max_msgs": 1, "discard": "new"}
    await server.jetstream().add_stream(name=subject, subjects=[subject], **limits)
    await client.send(outgoing(subject, 1))
    with pytest.raises(NodeError) as caught:
        await client.send(outgoing(subject, 2))
    assert (caught.value.code, caught.value.retryable) == ("RESOURCE_EXHAUSTED", True)
