"""A gate before a server: it passes bytes on, holds back what clients say, and drops them with all that it held.

With it a client can be killed in the very moment between what it has committed and what it was about to say next.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator

CHUNK_BYTES = 65_536


class Gate:
    """A TCP proxy on a free port of 127.0.0.1; `waiting` is set while it holds something back."""

    def __init__(self, host: str, port: int) -> None:
        self._upstream = (host, port)
        self._open = asyncio.Event()
        self._open.set()
        self._connections: set[asyncio.Task[None]] = set()
        self.waiting = asyncio.Event()
        self.port = 0

    def hold(self) -> None:
        """Keep from now on what clients say; answers pass."""
        self.waiting.clear()
        self._open.clear()

    async def drop(self) -> None:
        """End every connection, so that what was held never arrives, and let new ones through."""
        tasks = [*self._connections]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._open.set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One client, until either side is gone."""
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            await self._pass(reader, writer)
        except (OSError, asyncio.CancelledError):  # the end of a connection; nothing awaits this task's result
            pass
        finally:
            self._connections.discard(task)
            writer.transport.abort()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from_server, to_server = await asyncio.open_connection(*self._upstream)
        ways = [
            asyncio.create_task(self._pump(reader, to_server, held=True)),
            asyncio.create_task(self._pump(from_server, writer, held=False)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            to_server.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, held: bool) -> None:
        while data := await reader.read(CHUNK_BYTES):
            if held and not self._open.is_set():
                self.waiting.set()
                await self._open.wait()
            writer.write(data)
            await writer.drain()


@contextlib.asynccontextmanager
async def running_gate(address: str) -> AsyncGenerator[Gate]:
    """A gate before the server at `address` (host:port)."""
    host, _, port = address.rpartition(":")
    gate = Gate(host, int(port))
    server = await asyncio.start_server(gate.serve, "127.0.0.1", 0)
    gate.port = server.sockets[0].getsockname()[1]
    try:
        yield gate
    finally:
        server.close()
        await gate.drop()
