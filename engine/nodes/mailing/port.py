"""How a message is handed to a mail server."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:  # the context holds the ports
    from engine.nodes.context import Credential


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """A message as it is sent: plain addresses, and the content in ASCII with its headers.

    `idempotent` says that it may arrive twice.
    """

    credential: Credential
    sender: str
    recipients: Sequence[str]
    content: bytes
    timeout_s: float = 30.0
    idempotent: bool = False


@dataclass(frozen=True, slots=True)
class Refusal:
    """A recipient whom the server did not take, with its reply."""

    address: str
    code: int
    message: str


@dataclass(frozen=True, slots=True)
class Receipt:
    """Whom the server took the message for, in the order of the envelope."""

    accepted: list[str]
    refused: list[Refusal] = field(default_factory=list[Refusal])


class MailPort(Protocol):
    """Hands messages to the mail servers of credentials."""

    async def send(self, envelope: Envelope) -> Receipt:
        """Send to every recipient whom the server takes; it is an error if that is none.

        Raises: NodeError INVALID_CONFIG, ACCESS_DENIED, BLOCKED_ADDRESS, TIMEOUT, EXTERNAL_ERROR (worth another
        attempt for replies 4xx), OUTPUT_TOO_LARGE, OUTCOME_UNKNOWN if the connection broke after the content was sent.
        """
        ...
