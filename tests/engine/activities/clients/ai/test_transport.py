from __future__ import annotations

import asyncio
import gzip

import pytest

from engine.activities.clients.ai import transport
from engine.activities.clients.ai.transport import ProviderHttp
from engine.errors import NodeError
from engine.nodes.generation.port import ModelConnection
from engine.nodes.outbound.addresses import HttpPolicy

_HEAD = b"HTTP/1.1 200 OK\r\nConnection: close\r\n"


async def _served(answer: bytes) -> tuple[asyncio.Server, str, list[bytes]]:
    """A server that sends the same bytes to everybody, and what it was sent."""
    seen: list[bytes] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(answer)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    return server, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/", seen


async def _get(answer: bytes, times: int = 1) -> tuple[list[bytes], list[bytes]]:
    server, url, seen = await _served(answer)
    http = ProviderHttp(HttpPolicy())
    client = http.client(ModelConnection(provider="p", model="m", trusted=True))
    try:
        return [(await client.get(url)).content for _ in range(times)], seen
    finally:
        await http.aclose()
        server.close()


async def test_cookies_of_one_call_are_not_sent_with_the_next() -> None:
    _, seen = await _get(_HEAD + b"Set-Cookie: session=canary; Path=/\r\nContent-Length: 2\r\n\r\nok", times=2)
    assert len(seen) == 2
    assert b"canary" not in seen[1]


async def test_an_answer_over_the_limit_is_cut_short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "MOST_ANSWER_BYTES", 1000)
    with pytest.raises(NodeError) as caught:
        await _get(_HEAD + b"\r\n" + b"x" * 2000)
    assert (caught.value.code, caught.value.retryable) == ("OUTPUT_TOO_LARGE", False)


async def test_a_packed_answer_is_refused_before_it_is_unpacked() -> None:
    packed = gzip.compress(b"0" * 1_000_000)
    with pytest.raises(NodeError, match="packed") as caught:
        await _get(_HEAD + b"Content-Encoding: gzip\r\n\r\n" + packed)
    assert caught.value.code == "EXTERNAL_ERROR"


async def test_no_packing_is_asked_for() -> None:
    _, seen = await _get(_HEAD + b"Content-Length: 2\r\n\r\nok")
    assert b"accept-encoding: identity" in seen[0].lower()


async def test_an_address_with_a_password_is_refused() -> None:
    http = ProviderHttp(HttpPolicy())
    client = http.client(ModelConnection(provider="p", model="m"))
    with pytest.raises(NodeError) as caught:
        await client.get("http://user:secret-word@127.0.0.1/")
    assert caught.value.code == "INVALID_CONFIG"
    assert "secret-word" not in caught.value.message
    await http.aclose()
