"""Answers in pieces, and answers that break off."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from starlette.responses import Response
from starlette.types import Receive, Scope, Send


@dataclass(frozen=True, slots=True)
class Pieces:
    """The parts of a streamed body, already written."""

    parts: Sequence[bytes]
    media_type: str

    def response(self, *, cut: bool) -> Response:
        return Cut(None, self.parts[:2], self.media_type) if cut else Streamed(self.parts, self.media_type)


def events(items: Sequence[Any], *, done: bool) -> Pieces:
    """Server-sent events, one for each item."""
    parts = [b"data: " + json.dumps(item).encode() + b"\n\n" for item in items]
    return Pieces([*parts, b"data: [DONE]\n\n"] if done else parts, "text/event-stream")


def lines(items: Sequence[Any]) -> Pieces:
    return Pieces([json.dumps(item).encode() + b"\n" for item in items], "application/x-ndjson")


class Streamed(Response):
    """Sends each part by itself."""

    def __init__(self, parts: Sequence[bytes], media_type: str) -> None:
        super().__init__(media_type=media_type)
        self._parts = parts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = [item for item in self.raw_headers if item[0] != b"content-length"]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for part in self._parts:
            await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body", "body": b""})


class Cut(Response):
    """Promises more than it sends: the server closes the connection in the middle."""

    def __init__(self, whole: Any, parts: Sequence[bytes] = (), media_type: str = "application/json") -> None:
        super().__init__(media_type=media_type)
        self._parts = parts or [json.dumps(whole).encode()[:20]]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(b"content-type", str(self.media_type).encode()), (b"content-length", b"1000000")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for part in self._parts:
            await send({"type": "http.response.body", "body": part, "more_body": True})
        raise ConnectionResetError("cut off by the script")
