"""A gate passes bytes on, holds them back, and drops what it held."""

from __future__ import annotations

import asyncio

from tests.faults.gate import running_gate


async def test_what_is_held_back_never_arrives_once_it_is_dropped() -> None:
    heard: list[bytes] = []

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(100):
            heard.append(data)
            writer.write(data)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    port: int = server.sockets[0].getsockname()[1]
    async with server, running_gate(f"127.0.0.1:{port}") as gate:
        reader, writer = await asyncio.open_connection("127.0.0.1", gate.port)
        writer.write(b"through")
        assert await reader.readexactly(7) == b"through"
        gate.hold()
        writer.write(b"held")
        await asyncio.wait_for(gate.waiting.wait(), 10)
        await gate.drop()
        assert await reader.read() == b""  # the gate has ended the connection
        writer.close()
        reader, writer = await asyncio.open_connection("127.0.0.1", gate.port)
        writer.write(b"again")
        assert await reader.readexactly(5) == b"again"
        writer.close()
    assert heard == [b"through", b"again"]
