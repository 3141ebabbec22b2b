"""A server that ends its live streams when it is told to stop; without that it would wait for them."""

from __future__ import annotations

from typing import Any

import uvicorn

from api.live.hub import LiveStreams


class StreamingServer(uvicorn.Server):
    """`streams` are told first, so that each client learns that it can come back at once."""

    def __init__(self, config: uvicorn.Config, streams: LiveStreams) -> None:
        super().__init__(config)
        self._streams = streams

    async def shutdown(self, sockets: list[Any] | None = None) -> None:
        self._streams.stop()
        await super().shutdown(sockets)
