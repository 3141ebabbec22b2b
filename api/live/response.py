"""A response that streams, gives its place back at the end, and waits for no client for ever."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Callable

from starlette.responses import StreamingResponse
from starlette.types import Message, Receive, Scope, Send

SEND_WITHIN_S = 30.0
_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
_log = logging.getLogger(__name__)


class LiveResponse(StreamingResponse):
    """Server-sent events. `leave` is called once nothing more is sent, however that came."""

    media_type = "text/event-stream"

    def __init__(
        self, content: AsyncGenerator[bytes], leave: Callable[[], None], send_within_s: float = SEND_WITHIN_S
    ) -> None:
        super().__init__(content, headers=_HEADERS)
        self._content = content
        self._leave = leave
        self._send_within_s = send_within_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_in_time(message: Message) -> None:
            async with asyncio.timeout(self._send_within_s):
                await send(message)

        try:
            await super().__call__(scope, receive, send_in_time)
        except TimeoutError:
            _log.info("a client of a live stream took nothing for %g s and was cut off", self._send_within_s)
        finally:
            self._leave()
            with contextlib.suppress(RuntimeError):  # it runs still, and is being cancelled
                await self._content.aclose()
