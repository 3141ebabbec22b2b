"""Calls that are sent again, to a server of the tests that answers as it is told."""

from __future__ import annotations

import json
import threading
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from engine.errors import SystemFault
from structforge.client import AsyncClient, Client
from structforge.client.errors import RateLimited
from structforge.client.transport import Retries

FOLDER = {
    "id": "01a00000-0000-7000-8000-000000000001",
    "name": "f",
    "parent_id": None,
    "path": ["f"],
    "created_at": "2026-01-01T00:00:00Z",
    "updated_at": "2026-01-01T00:00:00Z",
}
FAST = Retries(times=3, first_wait_s=0.01, max_wait_s=1)


@dataclass(slots=True)
class Answers:
    """What the server says next, the last one for ever; and the keys of the requests that came."""

    next: list[tuple[int, Mapping[str, str]]] = field(default_factory=list[tuple[int, Mapping[str, str]]])
    keys: list[str | None] = field(default_factory=list[str | None])
    url: str = ""

    def take(self, key: str | None) -> tuple[int, Mapping[str, str]]:
        self.keys.append(key)
        return self.next.pop(0) if len(self.next) > 1 else self.next[0]


@pytest.fixture
def server() -> Generator[Answers]:
    answers = Answers()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            status, headers = answers.take(self.headers.get("Idempotency-Key"))
            problem = {"type": "x", "title": "x", "status": status, "detail": "away", "code": _code(status)}
            body = json.dumps(FOLDER if status == 201 else problem).encode()
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST
        do_PATCH = do_POST

        def log_message(self, format: str, *args: Any) -> None: ...

    served = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=served.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    answers.url = f"http://127.0.0.1:{served.server_address[1]}"
    try:
        yield answers
    finally:
        served.shutdown()
        thread.join()
        served.server_close()


def _code(status: int) -> str:
    return {429: "RATE_LIMITED", 503: "SYSTEM_FAULT"}.get(status, "CONFLICT")


def test_a_definition_is_sent_again_under_one_key_until_it_is_answered(server: Answers) -> None:
    server.next = [(503, {}), (429, {"Retry-After": "0"}), (201, {})]
    with Client(server.url, "sf_key", retries=FAST) as client:
        made = client.create_folder("f")

    assert made.name == "f"
    assert len(server.keys) == 3
    assert len(set(server.keys)) == 1
    assert server.keys[0]


async def test_the_asynchronous_client_does_the_same(server: Answers) -> None:
    server.next = [(503, {}), (201, {})]
    async with AsyncClient(server.url, "sf_key", retries=FAST) as client:
        await client.create_folder("f", idempotency_key="mine")

    assert server.keys == ["mine", "mine"]


def test_two_calls_have_two_keys(server: Answers) -> None:
    server.next = [(201, {})]
    with Client(server.url, "sf_key", retries=FAST) as client:
        client.create_folder("f")
        client.create_folder("f")

    assert len(set(server.keys)) == 2


def test_it_gives_up_after_the_last_try(server: Answers) -> None:
    server.next = [(503, {})]
    with Client(server.url, "sf_key", retries=FAST) as client, pytest.raises(SystemFault):
        client.create_folder("f")

    assert len(server.keys) == 1 + FAST.times


def test_a_wait_that_is_too_long_is_not_waited(server: Answers) -> None:
    server.next = [(429, {"Retry-After": "60"})]
    with Client(server.url, "sf_key", retries=FAST) as client, pytest.raises(RateLimited) as refused:
        client.create_folder("f")

    assert refused.value.retry_after_s == 60
    assert len(server.keys) == 1


def test_what_may_not_be_repeated_is_sent_once(server: Answers) -> None:
    server.next = [(503, {})]
    with Client(server.url, "sf_key", retries=FAST) as client, pytest.raises(SystemFault):
        client.change_folder(str(FOLDER["id"]), name="g")

    assert server.keys == [None]


def test_other_refusals_are_final(server: Answers) -> None:
    server.next = [(409, {})]
    with Client(server.url, "sf_key", retries=FAST) as client, pytest.raises(Exception, match="away"):
        client.create_folder("f")

    assert len(server.keys) == 1
