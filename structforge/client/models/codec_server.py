"""Bodies of codec server. Written by docs/generate.py from the OpenAPI document: change the API, not this file."""

from __future__ import annotations

from structforge.client.shapes import ReplyModel, RequestModel


class PayloadForm(RequestModel):
    """A payload in the JSON of protocol buffers: bytes are base64."""

    metadata: dict[str, str] | None = None
    data: str | None = None


class PayloadReply(ReplyModel):
    """A payload in the JSON of protocol buffers: bytes are base64."""

    metadata: dict[str, str]
    data: str


class PayloadsReply(ReplyModel):
    """As many payloads as were sent, in their order."""

    payloads: list[PayloadReply]
