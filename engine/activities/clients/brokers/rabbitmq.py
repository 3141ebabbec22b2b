"""RabbitMQ: confirmed, routed messages out; messages in on a channel that stays open until they are acknowledged."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any, ClassVar, Self, cast
from urllib.parse import quote

from aio_pika.abc import AbstractChannel, AbstractIncomingMessage, AbstractQueue, AbstractRobustConnection
from aio_pika.exceptions import AMQPError, ChannelInvalidStateError
from aiormq.exceptions import (
    AuthenticationError,
    ChannelAccessRefused,
    ChannelClosed,
    ChannelLockedResource,
    ChannelNotFoundEntity,
    ConnectionNotAllowed,
    DeliveryError,
    InvalidFrameError,
    ProbableAuthenticationError,
    PublishError,
)
from faststream.rabbit import Channel, RabbitBroker, RabbitExchange
from faststream.security import BaseSecurity, SASLPlaintext

from engine.activities.clients.brokers.links import CLIENT_NAME, Budget, denied, full, invalid, missing, shown_headers
from engine.activities.clients.brokers.targets import Target
from engine.errors import EXTERNAL_ERROR, NodeError
from engine.nodes.messaging.exchange import Delivery, Outgoing, Pull, Received

_MOST_PREFETCHED = 32
_CREATE_HINT = "create it there, or set create"


class RabbitLink:
    """One connection. Messages go out on a channel that all share; what could close it is looked at elsewhere first."""

    faults: ClassVar[tuple[type[Exception], ...]] = (AMQPError, ChannelInvalidStateError, OSError)
    deduplicates: ClassVar[bool] = False

    def __init__(self, broker: RabbitBroker, connection: AbstractRobustConnection, control: AbstractChannel) -> None:
        self._broker = broker
        self._connection = connection
        self._control = control
        self._spoiled = False  # the channel for messages is closed: a refusal of the right to send does that

    @classmethod
    async def open(cls, target: Target) -> Self:
        broker = RabbitBroker(
            f"amqp{'s' if target.tls else ''}://{target.addresses[0]}/{quote(target.path or '/', safe='')}",
            security=_security(target),
            default_channel=Channel(on_return_raises=True),
            app_id=CLIENT_NAME,
            logger=None,
            apply_types=False,
        )
        try:
            connection = await broker.connect()
            return cls(broker, connection, await connection.channel(publisher_confirms=False))
        except (AuthenticationError, ProbableAuthenticationError):
            raise denied(f"{target.name} refused the user name or the password") from None
        except (ConnectionNotAllowed, InvalidFrameError):
            # The driver reports the server's refusal to open a virtual host as a frame that it did not expect.
            raise denied(f"{target.name} has no such virtual host, or keeps this user out of it") from None

    async def prepare(self, *, sending: bool) -> None:
        # The connection mends itself in the background; whoever needs it now is better served by a new one.
        if self._spoiled or self._connection.is_closed or not self._connection.connected.is_set():
            raise ConnectionError("the connection is closed")
        await self._control.set_qos(prefetch_count=0)

    async def close(self) -> None:
        await self._broker.stop()

    # ---- sending

    async def send(self, message: Outgoing) -> None:
        if message.key is not None and message.exchange is None:
            raise invalid("RabbitMQ routes by queue_name: with key, name an exchange")
        await self._check_destination(message)
        try:
            await self._broker.publish(
                message.body,
                exchange=None if message.exchange is None else RabbitExchange(message.exchange, declare=False),
                routing_key=message.key or message.queue,
                mandatory=True,
                persist=True,
                headers=dict(message.headers),
                content_type=message.content_type,
                message_id=message.message_id,
                correlation_id=message.message_id,
            )
        except PublishError:
            if message.exchange is None:
                raise missing("queue", message.queue, _CREATE_HINT) from None
            hint = "bind a queue to the exchange"
            raise missing("queue for the routing key", message.key or message.queue, hint) from None
        except ChannelAccessRefused:
            self._spoiled = True
            raise denied(f"this user may not send to {message.exchange or message.queue}") from None
        except DeliveryError:
            raise full(f"the queue {message.queue} takes no more messages") from None

    async def _check_destination(self, message: Outgoing) -> None:
        """Look at exchange and queue on a channel of their own: what is missing closes the channel that asked."""
        if message.exchange is None and not message.create:
            return
        if message.exchange is not None:
            await self._check_exchange(message.exchange)
        if message.create and message.exchange is None:
            async with contextlib.AsyncExitStack() as stack:
                await self._queue(message.queue, create=True, stack=stack)

    async def _check_exchange(self, name: str) -> None:
        try:
            async with self._connection.channel(publisher_confirms=False) as channel:
                await channel.get_exchange(name, ensure=True)
        except ChannelNotFoundEntity:
            raise missing("exchange", name, "create it there") from None

    # ---- receiving

    async def receive(self, pull: Pull) -> Delivery:
        async with contextlib.AsyncExitStack() as stack:
            queue = await self._queue(pull.queue, create=pull.create, stack=stack)
            taken = await _take(queue, pull, Budget(pull))
            if not taken:
                return Delivery([])
            # The channel stays open with the messages until the receipt is settled; closing it gives them back.
            held = stack.pop_all()
            return Delivery([_received(message) for message in taken], _Receipt(held, taken[-1]))

    async def _queue(self, name: str, *, create: bool, stack: contextlib.AsyncExitStack) -> AbstractQueue:
        """The queue on a new channel, which the stack closes."""
        try:
            channel = await self._channel(stack)
            return await channel.declare_queue(name, passive=True)
        except ChannelNotFoundEntity:
            if not create:
                raise missing("queue", name, _CREATE_HINT) from None
        except ChannelAccessRefused:
            raise denied(f"this user may not use the queue {name}") from None
        except ChannelLockedResource:
            raise NodeError(
                f"the queue {name} belongs to another connection alone", code=EXTERNAL_ERROR, retryable=True
            ) from None
        try:
            channel = await self._channel(stack)
            return await channel.declare_queue(name, durable=True)
        except ChannelAccessRefused:
            raise denied(f"this user may not create the queue {name}") from None

    async def _channel(self, stack: contextlib.AsyncExitStack) -> AbstractChannel:
        channel = self._connection.channel(publisher_confirms=False)
        await channel.initialize()
        stack.push_async_callback(_close, channel)
        return channel


class _Receipt:
    def __init__(self, held: contextlib.AsyncExitStack, last: AbstractIncomingMessage) -> None:
        self._held = held
        self._last = last

    async def acknowledge(self) -> None:
        await self._last.ack(multiple=True)
        # RabbitMQ does not confirm an acknowledgement; it answers the close after having read it.
        await self._held.aclose()

    async def release(self) -> None:
        await self._held.aclose()


async def _take(queue: AbstractQueue, pull: Pull, budget: Budget) -> list[AbstractIncomingMessage]:
    taken: list[AbstractIncomingMessage] = []
    await _take_waiting(queue, budget, taken)
    if not taken and pull.wait_s > 0:
        await _take_arriving(queue, pull, budget, taken)
        if taken:
            await _take_waiting(queue, budget, taken)
    return taken


async def _take_waiting(queue: AbstractQueue, budget: Budget, taken: list[AbstractIncomingMessage]) -> None:
    while not budget.full:
        message = await queue.get(fail=False)
        # One that does not fit stays unacknowledged, and goes back when the channel closes.
        if message is None or not budget.take(len(message.body)):
            return
        taken.append(message)


async def _take_arriving(
    queue: AbstractQueue, pull: Pull, budget: Budget, taken: list[AbstractIncomingMessage]
) -> None:
    """Wait for the first message; what comes with it is taken too."""
    arrived: asyncio.Queue[AbstractIncomingMessage] = asyncio.Queue()
    await queue.channel.set_qos(prefetch_count=min(pull.max_messages, _MOST_PREFETCHED))
    tag = await queue.consume(arrived.put)
    messages: list[AbstractIncomingMessage] = []
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(pull.wait_s):
            messages.append(await arrived.get())
    await queue.cancel(tag)
    while not arrived.empty():
        messages.append(arrived.get_nowait())
    for message in messages:
        if not budget.take(len(message.body)):
            return
        taken.append(message)


async def _close(channel: AbstractChannel) -> None:
    with contextlib.suppress(ChannelClosed, ChannelInvalidStateError):
        if not channel.is_closed:
            await channel.close()


def _received(message: AbstractIncomingMessage) -> Received:
    moment = message.timestamp
    return Received(
        id=message.message_id or None,
        body=message.body,
        content_type=message.content_type or None,
        headers=shown_headers(cast("dict[str, Any]", message.headers)),
        key=message.routing_key,
        timestamp_s=None if moment is None else moment.timestamp(),
        redelivered=bool(message.redelivered),
    )


def _security(target: Target) -> BaseSecurity:
    context = target.ssl_context()
    if target.username is None:
        return BaseSecurity(ssl_context=context, use_ssl=target.tls)
    return SASLPlaintext(target.username, target.password or "", ssl_context=context, use_ssl=target.tls)
