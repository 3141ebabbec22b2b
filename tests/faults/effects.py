"""The effect server: a loopback service that keeps every call made to it, for comparison with the record afterwards.

Run as a process of its own (`python -m tests.faults.effects`), so that it outlives every worker. The effect of a call
takes place the moment it has been read; the answer follows after a while, so that a caller can die in between.

    /effect/...      any method: `n` in the JSON body or the query gives {"answer": answer_to(n)}
    GET  /-/calls      every call so far
    GET  /-/under-way  how many calls wait for their answer
    PUT  /-/latency    {"low_ms": number, "high_ms": number}: how long an answer takes from now on, uniformly
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import socket
import sys
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import httpx2
import uvicorn

from structforge.devstack.process import Command, start

ROOT = Path(__file__).parents[2]
READY_TIMEOUT_S = 20
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


@dataclass(slots=True)
class Call:
    """One call. Times are seconds since the epoch; `ended_at` is 0 while it is being answered.

    `cut` says that the caller was gone before the answer.
    """

    key: str
    method: str
    path: str
    body: str
    started_at: float
    ended_at: float = 0.0
    cut: bool = False

    @property
    def effect(self) -> tuple[str, str, str]:
        """What the call asked for, apart from when."""
        return (self.method, self.path, self.body)


def answer_to(n: int) -> int:
    """What the service makes of a number."""
    return (n * 7 + 3) % 1_000_003


class Effects:
    """The ASGI application."""

    def __init__(self, seed: int = 0) -> None:
        self._calls: list[Call] = []
        self._under_way = 0
        self._latency_ms = (20.0, 80.0)
        self._random = random.Random(seed)

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        body = await _body(receive)
        if body is None:
            return  # the caller died while it spoke: nothing was asked, so nothing takes effect
        if scope["path"] == "/-/calls":
            await _answer(send, 200, [asdict(call) for call in self._calls])
        elif scope["path"] == "/-/under-way":
            await _answer(send, 200, self._under_way)
        elif scope["path"] == "/-/latency":
            given = json.loads(body)
            self._latency_ms = (float(given["low_ms"]), float(given["high_ms"]))
            await _answer(send, 200, given)
        elif scope["path"].startswith("/effect/"):
            await self._take(scope, body, receive, send)
        else:
            await _answer(send, 404, {"error": "no such path"})

    async def _take(self, scope: dict[str, Any], body: bytes, receive: Receive, send: Send) -> None:
        query = scope["query_string"].decode()
        key = next((value.decode() for name, value in scope["headers"] if name == b"idempotency-key"), "")
        path = scope["path"] + (f"?{query}" if query else "")
        call = Call(key, scope["method"], path, body.decode(), time.time())
        self._calls.append(call)
        self._under_way += 1
        given = json.loads(body) if body else {name: values[0] for name, values in parse_qs(query).items()}
        call.cut = await _is_gone_within(receive, self._random.uniform(*self._latency_ms) / 1000)
        self._under_way -= 1
        call.ended_at = time.time()
        if not call.cut:
            await _answer(send, 200, {"answer": answer_to(int(given["n"]))})


async def _body(receive: Receive) -> bytes | None:
    """The whole body, or None if the caller is gone before its end."""
    body = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body += message.get("body", b"")
        if not message.get("more_body"):
            return body


async def _is_gone_within(receive: Receive, seconds: float) -> bool:
    try:
        async with asyncio.timeout(seconds):
            while (await receive())["type"] != "http.disconnect":
                pass
    except TimeoutError:
        return False
    return True


async def _answer(send: Send, status: int, data: object) -> None:
    headers = [(b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps(data).encode()})


@dataclass(frozen=True, slots=True)
class EffectServer:
    """A running server, seen from the test."""

    url: str

    async def calls(self) -> list[Call]:
        """Every call so far, in the order of arrival."""
        async with httpx2.AsyncClient(trust_env=False, timeout=60) as client:
            answer = await client.get(f"{self.url}/-/calls")
        return [Call(**call) for call in answer.raise_for_status().json()]

    async def under_way(self) -> int:
        """How many calls wait for their answer at this moment."""
        async with httpx2.AsyncClient(trust_env=False, timeout=60) as client:
            answer = await client.get(f"{self.url}/-/under-way")
        return int(answer.raise_for_status().json())

    async def set_latency(self, low_ms: float, high_ms: float) -> None:
        async with httpx2.AsyncClient(trust_env=False) as client:
            given = {"low_ms": low_ms, "high_ms": high_ms}
            (await client.put(f"{self.url}/-/latency", json=given)).raise_for_status()


@contextlib.asynccontextmanager
async def running_effects(log: Path) -> AsyncGenerator[EffectServer]:
    """The server as a child process on a free port of 127.0.0.1; what it prints goes to `log`."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    child = await start(Command("effects", [sys.executable, "-m", "tests.faults.effects", str(port)], log, _paths()))
    try:
        server = EffectServer(f"http://127.0.0.1:{port}")
        await _answers(server)
        yield server
    finally:
        await child.stop(2)


def _paths() -> dict[str, str]:
    return {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}


async def _answers(server: EffectServer) -> None:
    async with asyncio.timeout(READY_TIMEOUT_S):
        while True:
            with contextlib.suppress(httpx2.HTTPError):
                await server.calls()
                return
            await asyncio.sleep(0.05)


def main() -> None:
    """`python -m tests.faults.effects PORT`: serve until told to stop."""
    uvicorn.run(Effects(), host="127.0.0.1", port=int(sys.argv[1]), log_level="warning", lifespan="off")


if __name__ == "__main__":
    main()
