"""What Kafka's driver is asked for. No broker runs here: everything behind these arguments is the driver's."""

from __future__ import annotations

import ssl
from typing import Any

import pytest
from aiokafka import ConsumerRecord, TopicPartition

from engine.activities.clients.brokers import BrokerPool
from engine.activities.clients.brokers.kafka import (
    consumer_arguments,
    next_offsets,
    producer_arguments,
    received,
    record_arguments,
)
from engine.activities.clients.brokers.targets import Target, parse_target
from engine.errors import NodeError
from engine.nodes.messaging.exchange import Broker
from engine.nodes.outbound.addresses import HttpPolicy
from tests.engine.activities.clients.brokers.sending import Client, outgoing, pull
from tests.models.server import free_port


def target(url: str) -> Target:
    return parse_target(Broker(url, trusted=True))


def record(offset: int, partition: int = 0, **more: Any) -> ConsumerRecord[bytes, bytes]:
    fields: dict[str, Any] = {
        "topic": "orders", "partition": partition, "offset": offset, "timestamp": 1_700_000_000_500,
        "timestamp_type": 0, "key": b"k-1", "value": b"{}", "checksum": None, "serialized_key_size": 3,
        "serialized_value_size": 2, "headers": (),
    }  # fmt: skip
    return ConsumerRecord(**{**fields, **more})


def test_producer_waits_for_all_replicas_and_is_idempotent() -> None:
    arguments = producer_arguments(target("kafka://a.example:9092,b.example"))
    assert arguments["bootstrap_servers"] == ["a.example:9092", "b.example:9092"]
    assert (arguments["acks"], arguments["enable_idempotence"]) == ("all", True)
    assert (arguments["security_protocol"], arguments["ssl_context"]) == ("PLAINTEXT", None)
    assert "sasl_mechanism" not in arguments


def test_login_and_tls_are_passed_on() -> None:
    arguments = producer_arguments(target("kafkas://user:p%40ss@a.example?sasl=SCRAM-SHA-512"))
    assert arguments["security_protocol"] == "SASL_SSL"
    assert isinstance(arguments["ssl_context"], ssl.SSLContext)
    login = [arguments[name] for name in ("sasl_mechanism", "sasl_plain_username", "sasl_plain_password")]
    assert login == ["SCRAM-SHA-512", "user", "p@ss"]
    assert producer_arguments(target("kafka://user:pass@a.example"))["security_protocol"] == "SASL_PLAINTEXT"


def test_consumer_commits_nothing_by_itself_and_begins_with_what_is_there() -> None:
    arguments = consumer_arguments(target("kafka://a.example"), pull("orders", max_messages=7, max_bytes=900))
    assert (arguments["group_id"], arguments["enable_auto_commit"]) == ("readers", False)
    assert (arguments["auto_offset_reset"], arguments["isolation_level"]) == ("earliest", "read_committed")
    assert (arguments["max_poll_records"], arguments["max_partition_fetch_bytes"]) == (7, 900)


def test_record_carries_body_key_and_headers_as_bytes() -> None:
    assert record_arguments(outgoing("orders", key="k-1")) == {
        "value": b'{"n":1}',
        "key": b"k-1",
        "headers": [("source", b"shop"), ("content-type", b"application/json"), ("message_id", b"id-1")],
    }


def test_what_was_sent_is_what_is_received() -> None:
    sent = record_arguments(outgoing("orders", key="k-1"))
    message = received(record(5, value=sent["value"], key=sent["key"], headers=tuple(sent["headers"])))
    assert (message.id, message.body, message.content_type) == ("id-1", b'{"n":1}', "application/json")
    assert (message.key, message.headers, message.timestamp_s) == ("k-1", {"source": "shop"}, 1_700_000_000.5)


def test_record_of_another_program_is_known_by_its_place() -> None:
    message = received(record(5, 2, key=None, value=None))
    assert (message.id, message.key, message.body) == ("orders-2-5", None, b"")


def test_each_partition_goes_on_behind_its_last_record() -> None:
    records = [record(4), record(5), record(9, 1)]
    assert next_offsets(records) == {TopicPartition("orders", 0): 6, TopicPartition("orders", 1): 10}


@pytest.mark.parametrize("operation", ["send", "receive"])
async def test_refused_connection_is_a_failure_worth_another_attempt(pool: BrokerPool, operation: str) -> None:
    client = Client(pool, f"kafka://user:kafka-canary@127.0.0.1:{free_port()}")
    with pytest.raises(NodeError) as caught:
        await (client.send(outgoing("orders")) if operation == "send" else client.receive(pull("orders")))
    assert (caught.value.code, caught.value.retryable) == ("EXTERNAL_ERROR", True)
    assert "canary" not in repr(caught.value.as_dict())


async def test_cluster_that_nobody_vouches_for_is_refused() -> None:
    async with BrokerPool(HttpPolicy(allowed_hosts=["127.0.0.1"])) as pool:
        with pytest.raises(NodeError) as caught:
            await pool.send(Broker("kafka://127.0.0.1"), outgoing("orders"), timeout_s=5)
    assert caught.value.code == "BLOCKED_ADDRESS"
