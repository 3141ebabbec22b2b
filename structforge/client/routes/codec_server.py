"""Routes of codec server. Written by docs/generate.py from the OpenAPI document: change the API, not this file."""

from __future__ import annotations

from structforge.client.calls import Call, call
from structforge.client.models.codec_server import PayloadForm, PayloadsReply


class CodecServerRoutes:
    """Routes of codec server."""

    @call
    def decode_payloads(self, payloads: list[PayloadForm]) -> Call[PayloadsReply]:
        """Open the sealed payloads of the caller's tenant. 403 if one belongs to another."""
        return Call("POST", "/api/v1/codec/decode", PayloadsReply, body={"payloads": payloads})

    @call
    def encode_payloads(self, payloads: list[PayloadForm]) -> Call[PayloadsReply]:
        """Seal payloads for the caller's tenant, such as the arguments of a signal that is sent by hand."""
        return Call("POST", "/api/v1/codec/encode", PayloadsReply, body={"payloads": payloads})
