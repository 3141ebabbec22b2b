"""The port that Prometheus reads: this process's metrics, and those of Temporal's library beside them."""

from __future__ import annotations

import urllib.request
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest

from engine.errors import ConfigurationError
from engine.telemetry.metrics import REGISTRY

PATIENCE_S = 2.0


@contextmanager
def serving_metrics(
    host: str, port: int, *, beside: str | None = None, registry: CollectorRegistry = REGISTRY
) -> Generator[str]:
    """Serve `/metrics` from a thread; the block gets its URL. `port` 0 picks a free one.

    `beside` is a loopback URL whose metrics are appended, as long as it answers.
    Raises: ConfigurationError if the port cannot be used.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path.partition("?")[0] not in ("/metrics", "/"):
                self.send_error(404)
                return
            body = generate_latest(registry) + _of(beside)
            self.send_response(200)
            self.send_header("Content-Type", CONTENT_TYPE_PLAIN_0_0_4)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """A scrape is no event."""

    try:
        server = ThreadingHTTPServer((host, port), Handler)
    except OSError as error:
        reason = f"metrics cannot be served at {host}:{port}: {error.strerror or error}"
        raise ConfigurationError(f"{reason}; set STRUCTFORGE_METRICS__PORT") from None
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, name="metrics", daemon=True)
    thread.start()
    try:
        yield f"http://{host}:{server.server_address[1]}/metrics"
    finally:
        server.shutdown()
        server.server_close()


def _of(url: str | None) -> bytes:
    if url is None:
        return b""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=PATIENCE_S) as answer:
            return bytes(answer.read())
    except OSError:
        return b""
