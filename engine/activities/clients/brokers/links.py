"""A link: one connected client of one broker. Each kind of broker has its own; the pool keeps them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, ClassVar, Protocol, Self

from engine.activities.clients.brokers.targets import Target
from engine.errors import ACCESS_DENIED, EXTERNAL_ERROR, INVALID_CONFIG, OUTPUT_TOO_LARGE, RESOURCE_EXHAUSTED, NodeError
from engine.nodes.messaging.exchange import Delivery, Outgoing, Pull

CLIENT_NAME = "structforge"
OWN_HEADERS = frozenset({"content-type", "message_id", "correlation_id"})


class Link(Protocol):
    """What the pool needs of a broker's client.

    A refusal by the broker is a NodeError: the message was not taken, or nothing was received, and the link is fine.
    Any of `faults` means that the connection is broken and the outcome is not known.
    """

    faults: ClassVar[tuple[type[Exception], ...]]
    deduplicates: ClassVar[bool]  # the broker drops a second message of one id

    @classmethod
    async def open(cls, target: Target) -> Self:
        """Raises: any of `faults`; NodeError ACCESS_DENIED."""
        ...

    async def prepare(self, *, sending: bool) -> None:
        """Make sure that the broker answers; if this fails, nothing was sent."""
        ...

    async def send(self, message: Outgoing) -> None:
        """Return when the broker has confirmed the message."""
        ...

    async def receive(self, pull: Pull) -> Delivery:
        """If this raises or is cancelled, everything that was taken is given back."""
        ...

    async def close(self) -> None: ...


class Budget:
    """Counts messages and bytes of one receive; the first message that does not fit ends it."""

    def __init__(self, pull: Pull) -> None:
        self.messages_left = pull.max_messages
        self._bytes_left = pull.max_bytes
        self._max_bytes = pull.max_bytes
        self._empty = True
        self.full = False

    def take(self, size: int) -> bool:
        """Whether a message of `size` bytes may be kept.

        Raises: NodeError OUTPUT_TOO_LARGE if it is the first: no receive would ever get past it.
        """
        if self.messages_left <= 0 or size > self._bytes_left:
            self.full = True
            if self._empty:
                raise NodeError(
                    f"the next message has {size} bytes: raise max_bytes",
                    code=OUTPUT_TOO_LARGE,
                    details={"bytes": size, "max_bytes": self._max_bytes},
                )
            return False
        self._empty = False
        self.messages_left -= 1
        self._bytes_left -= size
        self.full = self.messages_left == 0
        return True


def missing(what: str, name: str, hint: str) -> NodeError:
    return NodeError(f"the broker has no {what} {name}: {hint}", code=EXTERNAL_ERROR, details={"name": name})


def denied(message: str) -> NodeError:
    return NodeError(message, code=ACCESS_DENIED)


def invalid(message: str) -> NodeError:
    return NodeError(message, code=INVALID_CONFIG)


def full(message: str) -> NodeError:
    return NodeError(message, code=RESOURCE_EXHAUSTED, retryable=True)


def too_large(message: str) -> NodeError:
    return NodeError(message, code=OUTPUT_TOO_LARGE)


def shown_headers(headers: Mapping[Any, Any]) -> dict[str, str]:
    """Headers of any sender as text, without those that the node itself sets."""
    texts = {_text(name): _text(value) for name, value in headers.items()}
    return {name: text for name, text in texts.items() if name.lower() not in OWN_HEADERS}


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return json.dumps(value, default=str)
