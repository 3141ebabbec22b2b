"""Shapes of the codec server, as Temporal's tools send and expect them."""

from __future__ import annotations

from pydantic import Field

from api.schemas import Reply, Request

MAX_PAYLOADS = 2000


class PayloadForm(Request):
    """A payload in the JSON of protocol buffers: bytes are base64."""

    metadata: dict[str, str] = Field(default_factory=dict[str, str])
    data: str | None = None


class PayloadsRequest(Request):
    payloads: list[PayloadForm] = Field(max_length=MAX_PAYLOADS)


class PayloadReply(Reply):
    """A payload in the JSON of protocol buffers: bytes are base64."""

    metadata: dict[str, str]
    data: str


class PayloadsReply(Reply):
    """As many payloads as were sent, in their order."""

    payloads: list[PayloadReply]
