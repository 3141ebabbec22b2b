"""A WebSocket to an application in this process, spoken as an ASGI server speaks it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson
from fastapi import FastAPI

PATIENCE_S = 30


@dataclass(slots=True)
class Wire:
    """`code` is what it was closed with, or the HTTP status of a refusal, whose body is `problem`."""

    code: int = 0
    problem: dict[str, Any] = field(default_factory=dict[str, Any])
    seen: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    _to_app: asyncio.Queue[dict[str, Any]] = field(default_factory=asyncio.Queue[dict[str, Any]])
    _from_app: asyncio.Queue[dict[str, Any] | None] = field(default_factory=asyncio.Queue[dict[str, Any] | None])
    _accepted: asyncio.Event = field(default_factory=asyncio.Event)

    async def say(self, message: Any) -> None:
        await self._to_app.put({"type": "websocket.receive", "text": orjson.dumps(message).decode()})

    async def frame(self) -> dict[str, Any] | None:
        """The next message; None once it is closed."""
        async with asyncio.timeout(PATIENCE_S):
            frame = await self._from_app.get()
        if frame is not None:
            self.seen.append(frame)
        return frame

    async def frames(self) -> list[dict[str, Any]]:
        """All messages to the end."""
        while await self.frame() is not None:
            pass
        return self.seen

    async def opened(self) -> None:
        async with asyncio.timeout(PATIENCE_S):
            await self._accepted.wait()

    async def receive(self) -> dict[str, Any]:
        return await self._to_app.get()

    async def send(self, message: Mapping[str, Any]) -> None:
        match message["type"]:
            case "websocket.accept":
                self._accepted.set()
            case "websocket.send":
                await self._from_app.put(orjson.loads(message["text"]))
            case "websocket.http.response.start":
                self.code = message["status"]
            case "websocket.http.response.body":
                self.problem = orjson.loads(message["body"])
                await self._from_app.put(None)
            case _:
                self.code = message.get("code", 1000)
                await self._from_app.put(None)

    async def to_app(self, message: dict[str, Any]) -> None:
        await self._to_app.put(message)

    def end(self, _: object) -> None:
        """Nothing comes any more, however the application ended."""
        self._from_app.put_nowait(None)

    async def hang_up(self) -> None:
        await self._to_app.put({"type": "websocket.disconnect", "code": 1006})


@contextlib.asynccontextmanager
async def open_wire(app: FastAPI, url: str, headers: Mapping[str, str]) -> AsyncGenerator[Wire]:
    """`url` is below `/api/v1`. Hangs up at the end, and waits until the application has noticed."""
    path, _, query = url.partition("?")
    wire = Wire()
    scope: dict[str, Any] = {
        "type": "websocket", "asgi": {"version": "3.0"}, "http_version": "1.1", "scheme": "ws", "root_path": "",
        "path": f"/api/v1{path}", "raw_path": f"/api/v1{path}".encode(), "query_string": query.encode(),
        "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
        "client": ("127.0.0.1", 1), "server": ("api", 80), "subprotocols": [],
        "extensions": {"websocket.http.response": {}},
    }  # fmt: skip
    await wire.to_app({"type": "websocket.connect"})
    running = asyncio.create_task(app(scope, wire.receive, wire.send))
    running.add_done_callback(wire.end)
    try:
        yield wire
    finally:
        await wire.hang_up()
        async with asyncio.timeout(PATIENCE_S):
            await running
