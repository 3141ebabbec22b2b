"""Bodies, queries and headers that no honest client sends: a 4xx that says why, and memory that stays flat."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx2
import psutil
import pytest
import pytest_asyncio

from api.strict_json import faults
from engine.settings import Settings
from structforge.devstack.application import child_environment
from tests.api.conftest import KEY, document
from tests.models.server import free_port

pytestmark = pytest.mark.asyncio(loop_scope="session")
NOBODY = "00000000-0000-7000-8000-000000000009"
EXECUTE = f"/workflows/{NOBODY}/execute"
JSON = {"Content-Type": "application/json"}
MEGABYTE = 1_000_000
LIMIT_BYTES = 2 * MEGABYTE
BODY_TIMEOUT_S = 1.0


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def process(settings: Settings) -> AsyncIterator[tuple[str, psutil.Process]]:
    """A real API process that takes bodies of 2 MB, for a second."""
    own = {"api": {"port": free_port(), "max_body_bytes": LIMIT_BYTES, "body_timeout_s": BODY_TIMEOUT_S}}
    served = settings.override(own)
    command = [sys.executable, "-m", "structforge", "api"]
    started = await asyncio.create_subprocess_exec(*command, env=child_environment(served))
    try:
        await _until_ready(served.api.url)
        yield served.api.url, psutil.Process(started.pid)
    finally:
        os.kill(started.pid, signal.SIGTERM)
        async with asyncio.timeout(60):
            await started.wait()


async def _until_ready(base: str) -> None:
    async with asyncio.timeout(60), httpx2.AsyncClient(trust_env=False) as http:
        while True:
            try:
                if (await http.get(f"{base}/readyz")).status_code == 200:
                    return
            except httpx2.HTTPError:
                await asyncio.sleep(0.05)


def _reason(answer: httpx2.Response) -> str:
    """The code of a refusal, which must be a problem with words in it."""
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert len(body["detail"]) > 10
    return body["issues"][0]["code"] if body.get("issues") else body["code"]


DEEP = 10_000
HOSTILE: dict[str, tuple[bytes, dict[str, str], int, str]] = {
    "deep lists": (b'{"input": ' + b"[" * DEEP + b"]" * DEEP + b"}", JSON, 422, "DOCUMENT_TOO_DEEP"),
    "deep objects": (b'{"input": ' + b'{"a":' * DEEP + b"1" + b"}" * DEEP + b"}", JSON, 422, "DOCUMENT_TOO_DEEP"),
    "101 levels": (b'{"input": ' + b"[" * 101 + b"]" * 101 + b"}", JSON, 422, "DOCUMENT_TOO_DEEP"),
    "a key twice": (b'{"priority": 1, "priority": 2}', JSON, 422, "DUPLICATE_KEY"),
    "a key twice, within": (b'{"input": {"a": {"b": 1, "b": 2}}}', JSON, 422, "DUPLICATE_KEY"),
    "a raw NUL": (b'{"trigger": "a\x00b"}', JSON, 400, "INVALID_JSON"),
    "an escaped NUL": (b'{"input": {"a": "x\\u0000y"}}', JSON, 422, "INVALID_TEXT"),
    "a NUL in a key": (b'{"input": {"x\\u0000y": 1}}', JSON, 422, "INVALID_TEXT"),
    "half a surrogate pair": (b'{"input": "\\ud800"}', JSON, 422, "INVALID_TEXT"),
    "not a number": (b'{"input": NaN}', JSON, 422, "INVALID_NUMBER"),
    "infinity": (b'{"input": -Infinity}', JSON, 422, "INVALID_NUMBER"),
    "past 64 bits": (b'{"input": 99999999999999999999}', JSON, 422, "INVALID_NUMBER"),
    "a number of 5,000 digits": (b'{"input": ' + b"9" * 5000 + b"}", JSON, 400, "BAD_REQUEST"),
    "no UTF-8": (b'{"input": "\xff\xfe"}', JSON, 400, "BAD_REQUEST"),
    "an unknown member": (b'{"colour": "red"}', JSON, 422, "UNKNOWN_KEY"),
    "a wrong type": (b'{"priority": "high"}', JSON, 422, "INVALID_VALUE"),
    "a list in place of an object": (b"[1, 2]", JSON, 422, "INVALID_VALUE"),
    "a text in place of an object": (b'"input"', JSON, 422, "INVALID_VALUE"),
    "cut off": (b'{"input": {"a": ', JSON, 400, "INVALID_JSON"),
    "two values": (b"{} {}", JSON, 400, "INVALID_JSON"),
    "another charset": (b"{}", {"Content-Type": "application/json; charset=utf-16"}, 415, "MEDIA_TYPE"),
    "a charset that is none": (b"{}", {"Content-Type": "application/json; charset=utf-99"}, 415, "MEDIA_TYPE"),
    "another type": (b"<a/>", {"Content-Type": "application/xml"}, 415, "MEDIA_TYPE"),
    "a form": (b"input=1", {"Content-Type": "application/x-www-form-urlencoded"}, 415, "MEDIA_TYPE"),
    "no type": (b"{}", {}, 415, "MEDIA_TYPE"),
    "compressed": (gzip.compress(b"{}"), {**JSON, "Content-Encoding": "gzip"}, 415, "MEDIA_TYPE"),
    "compressed twice": (b"x", {**JSON, "Content-Encoding": "gzip, br"}, 415, "MEDIA_TYPE"),
}


@pytest.mark.parametrize("name", HOSTILE)
async def test_a_hostile_body_is_refused_with_its_reason(api: httpx2.AsyncClient, name: str) -> None:
    content, headers, status, code = HOSTILE[name]

    answer = await api.post(EXECUTE, content=content, headers=headers)

    assert (answer.status_code, _reason(answer)) == (status, code)


@pytest.mark.parametrize("name", [name for name in HOSTILE if name not in ("a wrong type", "an unknown member")])
async def test_a_document_is_refused_for_the_same(api: httpx2.AsyncClient, name: str) -> None:
    content, headers, _, _ = HOSTILE[name]

    answer = await api.post("/workflows", content=content, headers=headers)

    assert 400 <= answer.status_code < 500, answer.text
    _reason(answer)


async def test_an_honest_body_passes(api: httpx2.AsyncClient) -> None:
    created = (await api.post("/workflows", json={"document": document()})).json()
    body = {"input": {"n": 3, "text": "ünïcödé 🎉", "deep": [[[[1.5, None, True]]]]}}
    answer = await api.post(f"/workflows/{created['id']}/execute", json=body)

    assert answer.status_code == 202
    assert answer.json()["input"] == body["input"]


async def test_who_is_not_known_learns_nothing_of_the_body(app: Any) -> None:
    from tests.api.conftest import caller

    async with caller(app, None) as nobody:
        answer = await nobody.post(EXECUTE, content=b'{"a": 1, "a": 2}', headers=JSON)

    assert answer.status_code == 401


@pytest.mark.parametrize(
    ("query", "headers", "status", "code"),
    [
        ("search=" + "x" * 33_000, {}, 414, "URI_TOO_LONG"),
        ("&".join(f"a{number}=1" for number in range(6000)), {}, 414, "URI_TOO_LONG"),
        ("search=" + "x" * 1000, {}, 422, "INVALID_VALUE"),
        ("", {"X-Filler": "x" * 40_000}, 431, "HEADERS_TOO_LARGE"),
        ("", {f"X-Filler-{number}": "x" * 400 for number in range(100)}, 431, "HEADERS_TOO_LARGE"),
    ],
)
async def test_a_huge_query_or_header_is_refused(
    api: httpx2.AsyncClient, query: str, headers: dict[str, str], status: int, code: str
) -> None:
    answer = await api.get(f"/workflows?{query}", headers=headers)

    assert (answer.status_code, _reason(answer)) == (status, code)


def _megabytes(count: int) -> Iterator[bytes]:
    for _ in range(count):
        yield b" " * MEGABYTE


async def test_memory_stays_flat_under_bodies_of_100_megabytes(process: tuple[str, psutil.Process]) -> None:
    url, server = process
    target = f"{url}/api/v1{EXECUTE}"
    await asyncio.to_thread(_send_large, target, 1, announced=True)  # what is allocated once is allocated now
    before = server.memory_info().rss

    statuses = [
        await asyncio.to_thread(_send_large, target, 100, announced=announced)
        for announced in (True, False, True, False, False, True, False, False)
    ]

    grown_mb = (server.memory_info().rss - before) / MEGABYTE
    print(f"RSS {before / MEGABYTE:.0f} MB, grown by {grown_mb:.1f} MB over {len(statuses)} bodies of 100 MB")
    assert statuses == [413] * len(statuses)
    assert grown_mb < 20


def _send_large(target: str, megabytes: int, *, announced: bool) -> int:
    """The status that a body gets which goes on whatever the server says; the answer is read when it comes."""
    host, port = httpx2.URL(target).host, httpx2.URL(target).port
    size = megabytes * MEGABYTE
    length = f"Content-Length: {size}" if announced else "Transfer-Encoding: chunked"
    head = f"POST {httpx2.URL(target).path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {KEY}\r\n"
    head += f"Content-Type: application/json\r\n{length}\r\n\r\n"
    with socket.create_connection((host, port or 80), timeout=10) as connection:
        connection.sendall(head.encode())
        try:
            for chunk in _megabytes(megabytes):
                connection.sendall(chunk if announced else b"%x\r\n%b\r\n" % (len(chunk), chunk))
            if not announced:
                connection.sendall(b"0\r\n\r\n")
        except (ConnectionError, TimeoutError):
            pass  # it need not take what it has refused
        return int(connection.recv(65_536).split(b" ", 2)[1])


async def test_a_drip_is_cut_off_in_time(process: tuple[str, psutil.Process]) -> None:
    url, _ = process
    sent_s = 0.0

    async def drip() -> AsyncIterator[bytes]:
        nonlocal sent_s
        yield b'{"input": "'
        began = time.monotonic()
        while sent_s < 20:
            await asyncio.sleep(0.1)
            sent_s = time.monotonic() - began
            yield b"x"

    async with httpx2.AsyncClient(trust_env=False, headers={"Authorization": f"Bearer {KEY}", **JSON}) as http:
        try:
            answer = await http.post(f"{url}/api/v1{EXECUTE}", content=drip())
        except httpx2.HTTPError:
            answer = None  # the server had closed the connection before the client looked for an answer

    assert answer is None or (answer.status_code, _reason(answer)) == (408, "REQUEST_TIMEOUT")
    assert sent_s < BODY_TIMEOUT_S + 5


async def test_a_body_that_stops_is_told_so(process: tuple[str, psutil.Process]) -> None:
    url, _ = process
    parsed = httpx2.URL(url)
    reader, writer = await asyncio.open_connection(parsed.host, parsed.port)
    head = f"POST /api/v1{EXECUTE} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\n"
    writer.write(f"{head}Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{{".encode())
    async with asyncio.timeout(BODY_TIMEOUT_S + 5):
        line = await reader.readline()
    writer.close()

    assert line.startswith(b"HTTP/1.1 408 ")


async def test_headers_without_end_are_cut_by_the_server(process: tuple[str, psutil.Process]) -> None:
    url, _ = process
    parsed = httpx2.URL(url)
    reader, writer = await asyncio.open_connection(parsed.host, parsed.port)
    writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Filler: " + b"x" * 200_000)
    async with asyncio.timeout(30):
        line = await reader.readline()
    writer.close()

    assert line.startswith(b"HTTP/1.1 400 ")


async def test_faults_of_a_large_body_are_found_quickly() -> None:
    raw = json.dumps({"input": [{"a": number, "b": "text"} for number in range(100_000)]}).encode()
    began = time.perf_counter()

    assert faults(raw) == []
    assert time.perf_counter() - began < 15
