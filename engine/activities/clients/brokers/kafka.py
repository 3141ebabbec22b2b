"""Kafka: an idempotent producer that waits for all in-sync replicas; a consumer of its own for each receive.

A consumer has a place in its group while the messages are held; their offsets are committed when they are acknowledged.
This is FastStream's driver, and not FastStream: its broker leaves a producer behind that could not connect, and always
connects an administrator too.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Any, ClassVar, Self

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition
from aiokafka.errors import (
    AuthenticationFailedError,
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    InvalidTopicError,
    KafkaError,
    MessageSizeTooLargeError,
    SaslAuthenticationFailed,
    TopicAuthorizationFailedError,
    UnknownTopicOrPartitionError,
)

from engine.activities.clients.brokers.links import (
    CLIENT_NAME,
    Budget,
    denied,
    invalid,
    missing,
    shown_headers,
    too_large,
)
from engine.activities.clients.brokers.targets import Target
from engine.nodes.messaging.exchange import MAX_MESSAGE_BYTES, Delivery, Outgoing, Pull, Received

_ROOM_BYTES = 65_536  # for headers and the frame around a body
_REQUEST_MS = 10_000  # shorter than an attempt, so that a topic that is not there is told from a broken broker
_ID = "message_id"
_STRANGER = (SaslAuthenticationFailed, AuthenticationFailedError)
_DENIED = (TopicAuthorizationFailedError, GroupAuthorizationFailedError, ClusterAuthorizationFailedError)
Consumer = Any  # aiokafka is typed in part


class KafkaLink:
    """A producer, connected when the first message is sent, and what makes consumers."""

    faults: ClassVar[tuple[type[Exception], ...]] = (KafkaError, OSError)
    deduplicates: ClassVar[bool] = False

    def __init__(self, target: Target) -> None:
        self._target = target
        self._producer: Any = None

    @classmethod
    async def open(cls, target: Target) -> Self:
        return cls(target)

    async def prepare(self, *, sending: bool) -> None:
        if not sending or self._producer is not None:
            return
        producer: Any = AIOKafkaProducer(**producer_arguments(self._target))
        try:
            await producer.start()
        except BaseException as error:
            await _stop(producer)
            if isinstance(error, _STRANGER):
                raise denied(f"{self._target.name} refused the user name or the password") from None
            raise
        self._producer = producer

    async def close(self) -> None:
        if self._producer is not None:
            await _stop(self._producer)

    async def send(self, message: Outgoing) -> None:
        try:
            await self._producer.send_and_wait(message.queue, **record_arguments(message))
        except MessageSizeTooLargeError:
            raise too_large("the message is larger than the broker takes") from None
        except UnknownTopicOrPartitionError:
            raise missing("topic", message.queue, "create it there") from None
        except InvalidTopicError:
            raise invalid("a Kafka topic is up to 249 letters, digits, dots, _ and -") from None
        except _DENIED:
            raise denied(f"this user may not write to the topic {message.queue}") from None

    async def receive(self, pull: Pull) -> Delivery:
        consumer: Consumer = AIOKafkaConsumer(pull.queue, **consumer_arguments(self._target, pull))
        try:
            records = await _take(consumer, pull)
        except (*_STRANGER, *_DENIED):
            await _stop(consumer)
            raise denied(f"this user may not read the topic {pull.queue}") from None
        except BaseException:
            await _stop(consumer)
            raise
        if not records:
            await _stop(consumer)
            return Delivery([])
        return Delivery([received(record) for record in records], _Receipt(consumer, records))


class _Receipt:
    def __init__(self, consumer: Consumer, records: Sequence[ConsumerRecord[bytes, bytes]]) -> None:
        self._consumer = consumer
        self._records = records

    async def acknowledge(self) -> None:
        await self._consumer.commit(next_offsets(self._records))
        await _stop(self._consumer)

    async def release(self) -> None:
        await _stop(self._consumer)


async def _take(consumer: Consumer, pull: Pull) -> list[ConsumerRecord[bytes, bytes]]:
    """The first records to come within the wait, which counts from the time that the group has let the consumer in."""
    await consumer.start()
    found = await consumer.getmany(timeout_ms=max(1, int(pull.wait_s * 1000)), max_records=pull.max_messages)
    budget = Budget(pull)
    kept: list[ConsumerRecord[bytes, bytes]] = []
    for records in found.values():
        for record in records:
            # What does not fit ends its partition; its offset is not committed.
            if not budget.take(len(record.value or b"")):
                break
            kept.append(record)
    return kept


async def _stop(client: Any) -> None:
    # A consumer leaves its group, which is a courtesy: it lets the next member in sooner.
    with contextlib.suppress(KafkaError, OSError, asyncio.TimeoutError):
        await client.stop()


def producer_arguments(target: Target) -> dict[str, Any]:
    """What a producer of aiokafka is made with."""
    return {
        **_connection_arguments(target),
        "acks": "all",
        "enable_idempotence": True,
        "max_request_size": MAX_MESSAGE_BYTES + _ROOM_BYTES,
    }


def consumer_arguments(target: Target, pull: Pull) -> dict[str, Any]:
    """What a consumer of aiokafka is made with."""
    return {
        **_connection_arguments(target),
        "group_id": pull.group,
        "enable_auto_commit": False,
        "auto_offset_reset": "earliest",
        "isolation_level": "read_committed",
        "fetch_max_bytes": pull.max_bytes,
        "max_partition_fetch_bytes": pull.max_bytes,
        "max_poll_records": pull.max_messages,
    }


def _connection_arguments(target: Target) -> dict[str, Any]:
    arguments: dict[str, Any] = {
        "bootstrap_servers": target.addresses,
        "client_id": CLIENT_NAME,
        "request_timeout_ms": _REQUEST_MS,
        "security_protocol": ("SASL_" if target.username is not None else "") + ("SSL" if target.tls else "PLAINTEXT"),
        "ssl_context": target.ssl_context(),
    }
    if target.username is not None:
        arguments["sasl_mechanism"] = target.options.get("sasl", "PLAIN")
        arguments["sasl_plain_username"] = target.username
        arguments["sasl_plain_password"] = target.password or ""
    return arguments


def record_arguments(message: Outgoing) -> dict[str, Any]:
    """What a record is made of, beside its topic."""
    headers = {**message.headers, "content-type": message.content_type, _ID: message.message_id}
    return {
        "value": message.body,
        "key": None if message.key is None else message.key.encode(),
        "headers": [(name, text.encode()) for name, text in headers.items()],
    }


def received(record: ConsumerRecord[bytes, bytes]) -> Received:
    headers = dict(record.headers)
    kind, given = headers.get("content-type"), headers.get(_ID)
    return Received(
        id=given.decode("utf-8", "replace") if given else f"{record.topic}-{record.partition}-{record.offset}",
        body=record.value or b"",
        content_type=kind.decode("utf-8", "replace") if kind else None,
        headers=shown_headers(headers),
        key=None if record.key is None else record.key.decode("utf-8", "replace"),
        timestamp_s=record.timestamp / 1000 if record.timestamp >= 0 else None,
        redelivered=False,
    )


def next_offsets(records: Sequence[ConsumerRecord[bytes, bytes]]) -> dict[TopicPartition, int]:
    """Where each partition is read on: behind the last record of it."""
    offsets: dict[TopicPartition, int] = {}
    for record in records:
        place = TopicPartition(record.topic, record.partition)
        offsets[place] = max(offsets.get(place, 0), record.offset + 1)
    return offsets
