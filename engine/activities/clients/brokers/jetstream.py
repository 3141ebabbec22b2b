"""NATS JetStream: messages that a stream confirms and whose repeated ids it drops; durable pull consumers in."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import re
from collections.abc import Coroutine, Sequence
from typing import Any, ClassVar, Self, TypeVar

import nats.errors
from faststream.nats import NatsBroker
from faststream.nats.security import NatsSecurity, NatsToken, NatsUserPassword
from faststream.security import BaseSecurity
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.api import AckPolicy, ConsumerConfig, Header
from nats.js.errors import APIError, NotFoundError, ServiceUnavailableError

from engine.activities.clients.brokers.links import (
    CLIENT_NAME,
    Budget,
    denied,
    full,
    invalid,
    missing,
    shown_headers,
    too_large,
)
from engine.activities.clients.brokers.targets import Target
from engine.errors import EXTERNAL_ERROR, NodeError
from engine.nodes.messaging.exchange import Delivery, Outgoing, Pull, Received

_T = TypeVar("_T")
HELD_S = 120.0  # how long a consumer may hold a message before it is handed out again
_CHUNK = 64
_LOOK_S = 0.2  # a fetch without a wait, for what is there
_CONFIRM_S = 5.0
_SUBJECT = re.compile(r"[^\s.*>]+(?:\.[^\s.*>]+)*")
_FILTER = re.compile(r"(?:[^\s.*>]+|\*)(?:\.(?:[^\s.*>]+|\*))*(?:\.>)?|>")
_CONSUMER = re.compile(r"[A-Za-z0-9_-]{1,200}")
_NO_STREAM = "create one there that holds the subject, or set create"
_NO_JETSTREAM = "JetStream is not enabled on the server: messages would be lost without it"
_OWN_PREFIX = "nats-"
_FULL_CODES = frozenset({10023, 10047, 10077, 10084})  # no resources, limits of streams and of their bytes


class JetStreamLink:
    """One connection. It never reconnects by itself, so it goes to no host but those of its credential."""

    faults: ClassVar[tuple[type[Exception], ...]] = (nats.errors.Error, OSError)
    deduplicates: ClassVar[bool] = True

    def __init__(self, broker: NatsBroker, client: Client, lost: asyncio.Event) -> None:
        self._broker = broker
        self._lost = lost
        self._client = client
        self._streams = client.jetstream()

    @classmethod
    async def open(cls, target: Target) -> Self:
        lost = asyncio.Event()

        async def lose() -> None:
            lost.set()

        broker = NatsBroker(
            [f"nats://{address}" for address in target.addresses],
            name=CLIENT_NAME,
            allow_reconnect=False,
            max_reconnect_attempts=1,  # 0 would be without end
            reconnect_time_wait=0,
            disconnected_cb=lose,
            closed_cb=lose,
            security=_security(target),
            logger=None,
            apply_types=False,
        )
        try:
            return cls(broker, await broker.connect(), lost)
        except (nats.errors.AuthorizationError, nats.errors.InvalidUserCredentialsError):
            raise denied(f"{target.name} refused the user name, the password or the token") from None
        except nats.errors.Error as error:
            if "authorization violation" in str(error).lower():
                raise denied(f"{target.name} refused the user name, the password or the token") from None
            raise

    async def prepare(self, *, sending: bool) -> None:
        if not self._client.is_connected:
            raise ConnectionError("the connection is closed")
        await self._while_connected(self._client.flush(timeout=5))

    async def close(self) -> None:
        await self._client.close()

    # ---- sending

    async def _while_connected(self, work: Coroutine[Any, Any, _T]) -> _T:
        """What `work` gives. Raises: ConnectionError as soon as the connection breaks; the driver would wait on."""
        task, lost = asyncio.create_task(work), asyncio.create_task(self._lost.wait())
        try:
            await asyncio.wait((task, lost), return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                return task.result()
            raise ConnectionError("the connection broke")
        finally:
            await _end(task, lost)

    async def send(self, message: Outgoing) -> None:
        await self._while_connected(self._send(message))

    async def _send(self, message: Outgoing) -> None:
        if _SUBJECT.fullmatch(message.queue) is None:
            raise invalid("a NATS subject to send to is words between dots, without spaces and wildcards")
        stream = await self._stream(message.queue, create=message.create)
        try:
            await self._broker.publish(
                message.body,
                message.queue,
                headers={
                    **message.headers,
                    "content-type": message.content_type,
                    Header.MSG_ID.value: message.message_id,
                },
                correlation_id=message.message_id,
                stream=stream,
                timeout=_CONFIRM_S,
            )
        except nats.errors.MaxPayloadError:
            raise too_large(f"the message is larger than the server takes: {self._client.max_payload} bytes") from None
        except APIError as error:
            raise _refusal(error) from None

    async def _stream(self, subject: str, *, create: bool) -> str:
        """Name of the stream that holds a subject."""
        try:
            return await self._streams.find_stream_name_by_subject(subject)
        except NotFoundError:
            if not create:
                raise missing("stream with the subject", subject, _NO_STREAM) from None
        except (ServiceUnavailableError, nats.errors.NoRespondersError):
            raise missing("stream", subject, _NO_JETSTREAM) from None
        name = f"{CLIENT_NAME}_{_digest(subject)}"
        try:
            await self._streams.add_stream(name=name, subjects=[subject])
        except APIError as error:
            raise _refusal(error) from None
        return name

    # ---- receiving

    async def receive(self, pull: Pull) -> Delivery:
        taken: list[Msg] = []  # everything that was handed out
        try:
            return await self._while_connected(self._receive(pull, taken))
        except BaseException:
            await _give_back(taken)
            raise

    async def _receive(self, pull: Pull, taken: list[Msg]) -> Delivery:
        if _FILTER.fullmatch(pull.queue) is None:
            raise invalid("a NATS subject is words between dots, without spaces; * stands for one word, > for the rest")
        if _CONSUMER.fullmatch(pull.group) is None:
            raise invalid("the group of a NATS consumer is letters, digits, _ and -")
        try:
            stream = await self._stream(pull.queue, create=pull.create)
            consumer = await self._consumer(stream, pull)
            subscription = await self._streams.pull_subscribe_bind(consumer, stream)
        except APIError as error:
            raise _refusal(error) from None
        try:
            kept = await _take(subscription, pull, taken)
            await _give_back([message for message in taken if message not in kept])
        finally:
            with contextlib.suppress(nats.errors.Error):
                await subscription.unsubscribe()
        return Delivery([_received(message) for message in kept], _Receipt(kept) if kept else None)

    async def _consumer(self, stream: str, pull: Pull) -> str:
        """A consumer that is called like the group is used as it is; else one is made for the subject.

        A consumer's name is its stream's, so one name cannot serve two subjects of a stream.
        """
        with contextlib.suppress(NotFoundError):
            return (await self._streams.consumer_info(stream, pull.group)).name
        name = f"{pull.group}_{_digest(pull.queue)}"
        config = ConsumerConfig(
            durable_name=name, ack_policy=AckPolicy.EXPLICIT, ack_wait=HELD_S, filter_subject=pull.queue
        )
        await self._streams.add_consumer(stream, config)
        return name


class _Receipt:
    def __init__(self, messages: Sequence[Msg]) -> None:
        self._messages = messages

    async def acknowledge(self) -> None:
        await asyncio.gather(*(message.ack_sync(timeout=_CONFIRM_S) for message in self._messages))

    async def release(self) -> None:
        await _give_back(self._messages)


async def _take(subscription: Any, pull: Pull, taken: list[Msg]) -> list[Msg]:
    """The messages to keep; `taken` holds every one that was handed out."""
    budget = Budget(pull)
    kept: list[Msg] = []
    wait_s = 0.0
    while not budget.full:
        count = min(_CHUNK, budget.messages_left)
        found = await _fetch(subscription, count, max(wait_s, _LOOK_S))
        taken += found
        for message in found:
            if not budget.take(len(message.data)):
                break
            kept.append(message)
        if len(found) == count:
            continue  # there may be more
        if kept or wait_s or pull.wait_s <= _LOOK_S:
            break
        wait_s = pull.wait_s - _LOOK_S
    return kept


async def _fetch(subscription: Any, count: int, timeout_s: float) -> list[Msg]:
    try:
        return await subscription.fetch(count, timeout=timeout_s)
    except TimeoutError:  # the driver's own, and Python's where the time was up before its second request
        return []


async def _give_back(messages: Sequence[Msg]) -> None:
    for message in messages:
        with contextlib.suppress(nats.errors.Error):  # one that is given back already
            await message.nak()


async def _end(*tasks: asyncio.Task[Any]) -> None:
    # More than once: Python's own wait_for, which the driver uses, may swallow a cancellation (until 3.12).
    while pending := [task for task in tasks if not task.done()]:
        for task in pending:
            task.cancel()
        await asyncio.wait(pending, timeout=1)


def _received(message: Msg) -> Received:
    headers = message.headers or {}
    metadata = message.metadata
    shown = {name: text for name, text in headers.items() if not name.lower().startswith(_OWN_PREFIX)}
    kind = next((text for name, text in headers.items() if name.lower() == "content-type"), None)
    return Received(
        id=headers.get(Header.MSG_ID.value) or str(metadata.sequence.stream),
        body=message.data,
        content_type=kind or None,
        headers=shown_headers(shown),
        key=message.subject,
        timestamp_s=metadata.timestamp.timestamp(),
        redelivered=metadata.num_delivered > 1,
    )


def _refusal(error: APIError) -> NodeError:
    """What the server said no to; nothing was done."""
    text = (error.description or str(error))[:300]
    if error.err_code in _FULL_CODES:
        return full(f"the server takes no more: {text}")
    retryable = (error.code or 0) >= 500
    return NodeError(f"the server refused: {text}", code=EXTERNAL_ERROR, retryable=retryable)


def _security(target: Target) -> BaseSecurity:
    context = target.ssl_context()
    if target.username is None:
        return NatsSecurity(ssl_context=context, use_ssl=target.tls)
    if target.password is None:
        return NatsToken(target.username, ssl_context=context, use_ssl=target.tls)
    return NatsUserPassword(target.username, target.password, ssl_context=context, use_ssl=target.tls)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]
