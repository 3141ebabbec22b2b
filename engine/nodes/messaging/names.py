"""Names that may go to any broker: of queues, keys and headers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

LONGEST_NAME_BYTES = 255  # of an AMQP short string
LONGEST_HEADERS_BYTES = 32_768
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_HEADER = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,128}")  # 128 bytes are the most that AMQP carries
# Ours, or read as an order by a broker: RabbitMQ copies a message to the queues that CC and BCC name, and NATS
# empties a stream at Nats-Rollup.
_RESERVED = frozenset({"content-type", "message_id", "correlation_id", "cc", "bcc"})
_RESERVED_PREFIX = "nats-"


def checked_name(name: str) -> str:
    """A name of a queue, stream, subject, topic, exchange or group, or a key.

    Raises: ValueError.
    """
    if not name:
        raise ValueError("this must not be empty")
    if len(name.encode("utf-8", "surrogatepass")) > LONGEST_NAME_BYTES:
        raise ValueError(f"this is longer than {LONGEST_NAME_BYTES} bytes")
    if _CONTROL.search(name):
        raise ValueError("this holds a control character")
    return name


def checked_header_name(name: str) -> str:
    """Raises: ValueError for a name that some broker cannot carry or takes for an order."""
    if "{{" in name:
        return name
    if _HEADER.fullmatch(name) is None:
        raise ValueError("a header name is up to 128 letters, digits and !#$%&'*+-.^_`|~ without spaces")
    if name.lower() in _RESERVED or name.lower().startswith(_RESERVED_PREFIX):
        raise ValueError(f"the header {name} is set by the node or means something to the broker: leave it out")
    return name


def header_texts(headers: Mapping[str, Any]) -> dict[str, str]:
    """Headers as text, without those that are null; true and false in lower case.

    Raises: ValueError for a value with a line break, or too many bytes in all.
    """
    texts = {name: _text(value) for name, value in headers.items() if value is not None}
    for name, text in texts.items():
        if _CONTROL.search(text):
            raise ValueError(f"the value of the header {name} holds a line break or another control character")
    if sum(len(name) + len(text.encode()) for name, text in texts.items()) > LONGEST_HEADERS_BYTES:
        raise ValueError(f"the headers are over {LONGEST_HEADERS_BYTES} bytes in all")
    return texts


def _text(value: str | float | bool) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
