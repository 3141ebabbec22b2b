"""A server of OAuth 2.0 tokens, and of a resource that takes the newest of them alone; it echoes what it was sent."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, unquote


@dataclass(slots=True)
class TokenServer:
    """`/token` gives `token-1`, `token-2`, ...; every other path answers 401 unless it is shown the newest.

    `answer`, if it is set, is what `/token` answers in place of a token: status and body.
    """

    client_id: str = "us & co"
    client_secret: str = "s3cret:with/odd+signs"
    prefix: str = "token"
    expires_in: Any = 3600
    answer: tuple[int, bytes] | None = None
    forms: list[dict[str, str]] = field(default_factory=list[dict[str, str]])
    shown: list[str] = field(default_factory=list[str])
    port: int = 0

    @property
    def token_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/token"

    @property
    def newest(self) -> str:
        return f"{self.prefix}-{len(self.forms)}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head.splitlines())}
            body = (await reader.readexactly(int(headers.get("content-length", "0")))).decode()
            status, content = self._answered(head.split(" ")[1], headers.get("authorization", ""), body)
            lines = f"HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {len(content)}\r\n"
            writer.write(lines.encode() + b"connection: close\r\n\r\n" + content)
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    def _answered(self, path: str, authorization: str, body: str) -> tuple[int, bytes]:
        if not path.startswith("/token"):
            self.shown.append(authorization)
            status = 200 if authorization == f"Bearer {self.newest}" else 401
            return status, json.dumps({"you sent": authorization}).encode()
        self.forms.append(dict(parse_qsl(body)))
        if self.answer is not None:
            return self.answer
        name, _, word = base64.b64decode(authorization.removeprefix("Basic ")).decode().partition(":")
        if (unquote(name), unquote(word)) != (self.client_id, self.client_secret):
            return 401, json.dumps({"error": "invalid_client", "you sent": authorization}).encode()
        token = {"access_token": self.newest, "token_type": "Bearer", "expires_in": self.expires_in}
        return 200, json.dumps({key: value for key, value in token.items() if value is not None}).encode()


@asynccontextmanager
async def running_token_server(**fields: Any) -> AsyncGenerator[TokenServer]:
    tokens = TokenServer(**fields)
    server = await asyncio.start_server(tokens.serve, "127.0.0.1", 0)
    tokens.port = server.sockets[0].getsockname()[1]
    try:
        yield tokens
    finally:
        server.close()
