"""TLS in front of a server that has none: the embedded PostgreSQL, Valkey and Temporal are built without it."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncGenerator
from typing import Literal

Dialect = Literal["plain", "postgres"]
SSL_REQUEST = bytes.fromhex("0000000804d2162f")  # length 8, code 80877103
HANDSHAKE_S = 10


@contextlib.asynccontextmanager
async def tls_proxy(target: int, context: ssl.SSLContext, dialect: Dialect = "plain") -> AsyncGenerator[int]:
    """Its port. What arrives over TLS goes to the port `target` of this machine; what arrives without it nowhere.

    PostgreSQL's clients ask for TLS in their own words first.
    """
    running: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        running.add(task)
        try:
            if dialect == "postgres":
                if await reader.readexactly(8) != SSL_REQUEST:
                    return
                writer.write(b"S")
                await writer.drain()
                await writer.start_tls(context, ssl_handshake_timeout=HANDSHAKE_S)
            await _connect(reader, writer, target)
        except (OSError, EOFError):
            pass  # a client that is refused, or goes
        finally:
            running.discard(task)
            writer.close()

    given = None if dialect == "postgres" else context
    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=given)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in [*running]:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


async def _connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, target: int) -> None:
    other_reader, other_writer = await asyncio.open_connection("127.0.0.1", target)
    try:
        ways = {asyncio.ensure_future(_pump(reader, other_writer)), asyncio.ensure_future(_pump(other_reader, writer))}
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
    finally:
        other_writer.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65_536):
        writer.write(data)
        await writer.drain()
