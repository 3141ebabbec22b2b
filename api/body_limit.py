"""Bodies over the limit are refused while they arrive, so that none is ever held in memory."""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.errors import problem


class BodyLimit:
    """ASGI middleware: 413 for a body of more than `max_bytes`, announced or not."""

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        announced = Headers(scope=scope).get("content-length", "")
        if announced.isdecimal() and (len(announced) > 18 or int(announced) > self._max_bytes):
            await problem(413, "TOO_LARGE", self._reason)(scope, receive, send)
            return
        await self._app(scope, self._counted(receive), send)

    @property
    def _reason(self) -> str:
        return f"the body is larger than {self._max_bytes:,} bytes"

    def _counted(self, receive: Receive) -> Receive:
        received = 0

        async def receive_counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self._max_bytes:
                # Of this kind, because FastAPI turns any other error of reading a body into a 400.
                raise HTTPException(413, self._reason)
            return message

        return receive_counted
