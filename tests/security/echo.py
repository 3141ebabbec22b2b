"""Servers that give back what they were sent, in every form in which a secret might come home."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field


@dataclass(slots=True)
class Echo:
    """HTTP: `/json`, `/text`, `/bytes` and `/large` (over what stays inline) echo; a path with `fail` answers 500."""

    port: int = 0
    heard: bytes = field(default=b"", repr=False)

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(
                (
                    int(line.split(b":")[1])
                    for line in head.split(b"\r\n")
                    if line.lower().startswith(b"content-length:")
                ),
                0,
            )
            body = await reader.readexactly(length)
            self.heard += head + body
            status, kind, content = _echo(head, body)
            lines = f"HTTP/1.1 {status} X\r\ncontent-type: {kind}\r\ncontent-length: {len(content)}\r\n".encode()
            names = (b"authorization:", b"x-api-key:", b"x-custom:")
            sent = [line for line in head.split(b"\r\n") if line.lower().startswith(names)]
            back = b"".join(b"x-echo: " + line.split(b": ", 1)[1] + b"\r\n" for line in sent)
            writer.write(lines + back + b"connection: close\r\n\r\n" + content)
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


def _echo(head: bytes, body: bytes) -> tuple[int, str, bytes]:
    path = head.split(b" ")[1]
    status = 500 if b"fail" in path else 401 if b"deny" in path else 200
    text = (head + body).decode("latin-1")
    if b"bytes" in path:
        return status, "application/octet-stream", b"\x00\x01" + head + body
    if b"text" in path:
        return status, "text/plain", head + body
    filler = "x" * 60_000 if b"large" in path else ""
    told = {"head": text, "lines": text.splitlines(), "base64": base64.b64encode(head).decode(), "filler": filler}
    return (
        status,
        "application/json",
        json.dumps({**told, "error": {"message": text}, text[-300:]: "as a key"}).encode(),
    )


@asynccontextmanager
async def running_echo() -> AsyncGenerator[Echo]:
    echo = Echo()
    server = await asyncio.start_server(echo.serve, "127.0.0.1", 0)
    echo.port = server.sockets[0].getsockname()[1]
    try:
        yield echo
    finally:
        server.close()


@asynccontextmanager
async def running_talkative(*replies: bytes, greeting: bytes = b"") -> AsyncGenerator[tuple[int, list[bytes]]]:
    """A line protocol whose server repeats each line within its reply; the port, and what it heard."""
    heard: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            writer.write(greeting)
            for reply in replies:
                line = await reader.readline()
                heard.append(line)
                writer.write(reply.replace(b"%s", line.strip()))
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1], heard
    finally:
        server.close()
