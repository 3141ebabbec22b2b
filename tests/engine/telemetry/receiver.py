"""A loopback server that takes spans by OTLP over HTTP, and calls whose headers the tests look at."""

from __future__ import annotations

import gzip
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


@dataclass(slots=True)
class Taken:
    """One span, with ids in hexadecimal and its attributes."""

    name: str
    trace: str
    id: str
    parent: str
    service: str
    attributes: dict[str, Any]
    links: list[tuple[str, str]]
    failed: bool
    began: int
    ended: int


@dataclass(slots=True)
class Receiver:
    """`calls` holds the headers of each call that is no span; `failures` of them are answered 503 first."""

    url: str = ""
    spans: list[Taken] = field(default_factory=list[Taken])
    calls: list[dict[str, str]] = field(default_factory=list[dict[str, str]])
    failures: int = 0

    def take(self, body: bytes) -> None:
        request = ExportTraceServiceRequest.FromString(body)
        for resource in request.resource_spans:
            facts = _plain(resource.resource.attributes)
            for scope in resource.scope_spans:
                self.spans += [_taken(span, str(facts.get("service.name"))) for span in scope.spans]

    def of(self, trace: str) -> list[Taken]:
        return [span for span in self.spans if span.trace == trace]


@contextmanager
def receiving() -> Generator[Receiver]:
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            if self.path == "/v1/traces":
                receiver.take(gzip.decompress(body) if self.headers.get("content-encoding") == "gzip" else body)
                self._answer(200, b"")
                return
            receiver.calls.append({name.lower(): value for name, value in self.headers.items()})
            self._answer(503 if len(receiver.calls) <= receiver.failures else 200, b'{"ok": true}')

        def _answer(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    receiver.url = f"http://127.0.0.1:{server.server_address[1]}"
    Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()


def _taken(span: Any, service: str) -> Taken:
    links = [(link.trace_id.hex(), link.span_id.hex()) for link in span.links]
    return Taken(
        span.name,
        span.trace_id.hex(),
        span.span_id.hex(),
        span.parent_span_id.hex(),
        service,
        _plain(span.attributes),
        links,
        span.status.code == 2,
        span.start_time_unix_nano,
        span.end_time_unix_nano,
    )


def _plain(attributes: Any) -> dict[str, Any]:
    return {item.key: getattr(item.value, item.value.WhichOneof("value")) for item in attributes}
