"""A loopback HTTP server whose effects the tests see and whose answers they hold back.

`/do/<name>` answers at once; `/hold/<name>` answers once the test releases it; `/flaky/<name>?fails=n` answers 503
that often first; `/bad/<name>` answers 400; `/slow/<name>?ms=n` takes its time; `/size/<n>` answers n bytes of text.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit


@dataclass(slots=True)
class Call:
    """One request that came in. Times are `time.monotonic()`; `ended` is 0 while it is held."""

    name: str
    key: str
    started: float
    ended: float = 0.0


@dataclass(slots=True)
class Effects:
    """What the server has seen. Names are per test: every test takes fresh ones from `lab.name`."""

    port: int = 0
    calls: list[Call] = field(default_factory=list[Call])
    running: Counter[str] = field(default_factory=Counter[str])
    peak: Counter[str] = field(default_factory=Counter[str])
    _released: dict[str, asyncio.Event] = field(default_factory=lambda: defaultdict(asyncio.Event))
    _changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def count(self, name: str) -> int:
        return sum(call.name == name for call in self.calls)

    def of(self, name: str) -> list[Call]:
        return [call for call in self.calls if call.name == name]

    def release(self, name: str) -> None:
        self._released[name].set()

    async def seen(self, name: str, count: int = 1, *, timeout_s: float = 60) -> None:
        """Return once `name` has been called `count` times."""
        async with asyncio.timeout(timeout_s), self._changed:
            await self._changed.wait_for(lambda: self.count(name) >= count)

    async def _note(self, call: Call) -> None:
        self.calls.append(call)
        group = call.name.rsplit("-", 1)[0]
        self.running[group] += 1
        self.peak[group] = max(self.peak[group], self.running[group])
        async with self._changed:
            self._changed.notify_all()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
                headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:])}
                await reader.readexactly(int(headers.get("content-length", "0")))
                status, body, kind = await self._answer(head[0].split(" ")[1], headers)
                lines = f"HTTP/1.1 {status} X\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\n\r\n"
                writer.write(lines.encode() + body)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            writer.close()

    async def _answer(self, target: str, headers: dict[str, str]) -> tuple[int, bytes, str]:
        url = urlsplit(target)
        _, kind, name = url.path.split("/", 2)
        query = {key: int(values[0]) for key, values in parse_qs(url.query).items()}
        call = Call(name, headers.get("idempotency-key", ""), time.monotonic())
        await self._note(call)
        try:
            if kind == "hold":
                await self._released[name].wait()
            elif kind == "slow":
                await asyncio.sleep(query["ms"] / 1000)
        finally:
            call.ended = time.monotonic()
            self.running[name.rsplit("-", 1)[0]] -= 1
        if kind == "size":
            return 200, b"x" * int(name), "text/plain"
        if kind == "bad":
            return 400, b"{}", "application/json"
        if kind == "flaky" and self.count(name) <= query["fails"]:
            return 503, b"{}", "application/json"
        return 200, b'{"ok": true}', "application/json"
