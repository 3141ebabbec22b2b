"""The port at which a supervisor asks a process whether it lives and whether it is ready."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncGenerator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import asdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

from engine.activities.readiness import PATIENCE_S, Dependencies
from engine.errors import ConfigurationError
from engine.settings.observability import HealthSettings

_log = logging.getLogger(__name__)
Answer = tuple[int, dict[str, Any]]


class _Loop:
    """Questions from the thread of the port to the event loop, which answers only while it turns."""

    def __init__(self, parts: Dependencies) -> None:
        self._parts = parts
        self._loop = asyncio.get_running_loop()

    def ask(self, path: str) -> Answer:
        """What `/healthz` or `/readyz` is answered with; 503 from a loop that stands still, 404 for other paths."""
        if path == "/healthz":
            return self._wait(self._live())
        return self._wait(self._ready()) if path == "/readyz" else (404, {"status": "unknown path"})

    def _wait(self, question: Coroutine[Any, Any, Answer]) -> Answer:
        future = asyncio.run_coroutine_threadsafe(question, self._loop)
        try:
            return future.result(PATIENCE_S + 1)
        except TimeoutError:
            future.cancel()
            return 503, {"status": "stuck"}

    async def _live(self) -> Answer:
        return 200, {"status": "ok"}

    async def _ready(self) -> Answer:
        found = await self._parts.look()
        return 200 if found.ready else 503, {"ready": found.ready, **asdict(found)}


@asynccontextmanager
async def serving_health(settings: HealthSettings, parts: Dependencies) -> AsyncGenerator[str | None]:
    """Serve in this block if there is a port for it; the block gets the URL.

    From a thread, because a loop that stands still must be told of and not only be silent.
    Raises: ConfigurationError if the port cannot be used.
    """
    if settings.port is None:
        yield None
        return
    server = _open(settings, _Loop(parts))
    Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, name="health", daemon=True).start()
    url = f"http://{settings.host}:{server.server_address[1]}"
    _log.info("health is at %s", url)
    try:
        yield url
    finally:
        await asyncio.to_thread(server.shutdown)
        server.server_close()


def _open(settings: HealthSettings, loop: _Loop) -> ThreadingHTTPServer:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, content = loop.ask(self.path.partition("?")[0])
            body = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """A probe is no event."""

    try:
        server = ThreadingHTTPServer((settings.host, settings.port or 0), Handler)
    except OSError as error:
        reason = f"health cannot be served at {settings.host}:{settings.port}: {error.strerror or error}"
        raise ConfigurationError(f"{reason}; set STRUCTFORGE_HEALTH__PORT") from None
    server.daemon_threads = True
    return server
