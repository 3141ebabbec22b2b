"""What a node asks of a broker and what it gets: the protocol that the broker clients of a worker fulfil."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from engine.nodes.receipt import Receipt

MAX_MESSAGE_BYTES = 8_000_000


@dataclass(frozen=True, slots=True)
class Broker:
    """Where messages go and come from. `url` holds a secret and is not shown.

    `allowed_hosts` None is any host; an address that is not `trusted` must pass the guard against internal ones.
    """

    url: str = field(repr=False)
    trusted: bool = False
    allowed_hosts: Sequence[str] | None = None


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One message. `repeatable` says that sending it twice does no harm.

    `queue` is a queue, stream, subject or topic; `key` a routing or partition key; `exchange` is RabbitMQ's alone,
    `max_length` that of Redis alone (entries that the stream keeps, about).
    """

    queue: str
    message_id: str
    body: bytes
    content_type: str
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    key: str | None = None
    exchange: str | None = None
    create: bool = False
    max_length: int | None = None
    repeatable: bool = False


@dataclass(frozen=True, slots=True)
class Pull:
    """A request for up to `max_messages` of together at most `max_bytes`.

    It waits up to `wait_s` for the first message and takes what is there then. `consumer` is the same in every attempt
    of one node execution.
    """

    queue: str
    group: str
    consumer: str
    max_messages: int
    wait_s: float
    max_bytes: int
    create: bool = False


@dataclass(frozen=True, slots=True)
class Received:
    """One message as it came. `timestamp_s` is when it was sent, in seconds since the epoch."""

    id: str | None
    body: bytes
    content_type: str | None
    headers: Mapping[str, str]
    key: str | None
    timestamp_s: float | None
    redelivered: bool


@dataclass(frozen=True, slots=True)
class Delivery:
    """Messages in hand, which the broker keeps until the receipt is acknowledged; no receipt if there are none."""

    messages: Sequence[Received]
    receipt: Receipt | None = None


class BrokerPort(Protocol):
    """Sends and receives messages.

    Both raise NodeError: INVALID_CONFIG, ACCESS_DENIED, BLOCKED_ADDRESS, EXTERNAL_ERROR, TIMEOUT, RESOURCE_EXHAUSTED,
    OUTPUT_TOO_LARGE, or OUTCOME_UNKNOWN where a message may have been taken that is not repeatable.
    """

    async def send(self, broker: Broker, message: Outgoing, *, timeout_s: float) -> None:
        """Return once the broker has confirmed that it holds the message."""
        ...

    async def receive(self, broker: Broker, pull: Pull, *, timeout_s: float) -> Delivery:
        """The messages, none if there are none within the wait."""
        ...
