"""What a request may be, before anything reads it: its size, its encoding, and how long it may take to arrive.

A body is counted while it arrives, so that none over the limit is ever held in memory.
"""

from __future__ import annotations

import asyncio
from email.message import Message as Header
from typing import cast

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.errors import problem

MAX_QUERY_BYTES = 32_768
MAX_HEADER_BYTES = 32_768  # of all headers together; the server itself gives up at 64 KB
_FAULT = "body_fault"
_Refusal = tuple[int, str, str]


def check_announced(request: Request) -> None:
    """Refuse a body by what the headers say of it, once its sender is known. Raises: HTTPException 413, 415."""
    refusal = cast("_Refusal | None", getattr(request.state, _FAULT, None))
    if refusal is not None:
        raise HTTPException(refusal[0], refusal[2])


class BodyLimit:
    """ASGI middleware: a problem for a body of more than `max_bytes`, announced or not, or later than `timeout_s`."""

    def __init__(self, app: ASGIApp, max_bytes: int, timeout_s: float) -> None:
        self._app = app
        self._max_bytes = max_bytes
        self._timeout_s = timeout_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if (refusal := _head_fault(scope)) is not None:
            await problem(*refusal)(scope, receive, send)
            return
        # Who sends a body that will not be read is asked for before that is said.
        scope.setdefault("state", {})[_FAULT] = _type_fault(scope) or self._announced_fault(scope)
        await self._app(scope, self._counted(receive), send)

    @property
    def _reason(self) -> str:
        return f"the body is larger than {self._max_bytes:,} bytes"

    def _announced_fault(self, scope: Scope) -> _Refusal | None:
        announced = Headers(scope=scope).get("content-length", "")
        over = announced.isdecimal() and (len(announced) > 18 or int(announced) > self._max_bytes)
        return (413, "TOO_LARGE", self._reason) if over else None

    def _counted(self, receive: Receive) -> Receive:
        received, complete = 0, False
        deadline = asyncio.get_running_loop().time() + self._timeout_s

        async def receive_counted() -> Message:
            nonlocal received, complete
            if complete:  # what follows is a disconnect, which may take as long as the answer does
                return await receive()
            try:
                async with asyncio.timeout_at(deadline):
                    message = await receive()
            except TimeoutError:
                # What still drips in would keep the connection open for ever.
                reason = f"the body did not arrive within {self._timeout_s:g} s"
                raise HTTPException(408, reason, headers={"Connection": "close"}) from None
            received += len(message.get("body", b""))
            complete = not message.get("more_body", False)
            if received > self._max_bytes:
                # Of this kind, because FastAPI turns any other error of reading a body into a 400.
                raise HTTPException(413, self._reason)
            return message

        return receive_counted


def _head_fault(scope: Scope) -> _Refusal | None:
    """Why the request's line and headers alone are reason enough to refuse it."""
    if len(scope["query_string"]) > MAX_QUERY_BYTES:
        return 414, "URI_TOO_LONG", f"the query is longer than {MAX_QUERY_BYTES:,} bytes"
    if sum(len(name) + len(value) for name, value in scope["headers"]) > MAX_HEADER_BYTES:
        return 431, "HEADERS_TOO_LARGE", f"the headers are larger than {MAX_HEADER_BYTES:,} bytes"
    return None


def _type_fault(scope: Scope) -> _Refusal | None:
    """Why the body is not read, whatever is in it."""
    headers = Headers(scope=scope)
    encoding = headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("", "identity"):
        return 415, "MEDIA_TYPE", f"bodies are taken as they are: Content-Encoding {encoding[:40]!r} is not read"
    charset = _charset(headers.get("content-type", ""))
    if charset not in ("utf-8", "utf8", "us-ascii"):
        return 415, "MEDIA_TYPE", f"bodies are read as UTF-8: charset {charset[:40]!r} is not"
    return None


def _charset(content_type: str) -> str:
    if "charset" not in content_type.lower():
        return "utf-8"
    header = Header()
    header["content-type"] = content_type.encode("ascii", "replace").decode()
    return str(header.get_content_charset("utf-8")).lower()
