from __future__ import annotations

import asyncio
import base64
import gzip
import json
import socket
import ssl
import zlib
from collections.abc import AsyncIterator
from email.parser import BytesParser
from email.policy import HTTP
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from engine.errors import NodeError
from engine.nodes.base import Credential, NodeResult
from engine.nodes.outbound.addresses import HttpPolicy
from engine.nodes.outbound.client import HttpClient
from tests.engine.nodes.integration.loopback import Call, answer, serving
from tests.engine.nodes.running import run, run_filled

SECRET = "s3cr3t-canary-value"
FORM = "application/x-www-form-urlencoded"
BEARER: Credential = {"type": "bearer", "token": SECRET}


@pytest_asyncio.fixture
async def client() -> AsyncIterator[HttpClient]:
    async with HttpClient(HttpPolicy(allowed_hosts=["127.0.0.1", "localhost"])) as opened:
        yield opened


async def call(client: HttpClient, params: dict[str, Any], **context: Any) -> NodeResult:
    return await run("http", params, http=client, idempotency_key="exec:node:0:0", **context)


async def failure(client: HttpClient, params: dict[str, Any], **context: Any) -> NodeError:
    with pytest.raises(NodeError) as caught:
        await call(client, params, **context)
    return caught.value


async def failure_of_filled(client: HttpClient, params: dict[str, Any]) -> NodeError:
    with pytest.raises(NodeError) as caught:
        await run_filled("http", params, http=client, idempotency_key="exec:node:0:0")
    return caught.value


async def ok(request: Call) -> bytes:
    return answer(200, b'{"a": [1]}', content_type="application/json; charset=utf-8", x_one="1")


async def test_answer_comes_back_as_data(client: HttpClient) -> None:
    async with serving(ok) as server:
        output = (await call(client, {"url": server.url + "/x?y=1", "query": {"z": ["a b", True, None]}})).output
    assert (output["status"], output["body"], output["headers"]["x-one"]) == (200, {"a": [1]}, "1")
    assert output["url"] == server.url + "/x?y=1&z=a+b&z=true"
    assert output["elapsed_ms"] > 0
    assert server.calls[0].target == "/x?y=1&z=a+b&z=true"


async def test_idempotency_key_is_always_sent(client: HttpClient) -> None:
    async with serving(ok) as server:
        await call(client, {"url": server.url})
        await call(client, {"url": server.url, "method": "post", "headers": {"Idempotency-Key": "mine"}})
    assert [request.headers["idempotency-key"] for request in server.calls] == ["exec:node:0:0", "mine"]


@pytest.mark.parametrize(
    ("params", "content_type", "body"),
    [
        ({"body": {"a": 1}}, "application/json", b'{"a":1}'),
        ({"body": [], "headers": {"Content-Type": "application/vnd.x+json"}}, "application/vnd.x+json", b"[]"),
        ({"body": {"a": "x y", "b": [1, False]}, "body_type": "form"}, FORM, b"a=x+y&b=1&b=false"),
        ({"body": "grüße", "body_type": "text"}, "text/plain; charset=utf-8", "grüße".encode()),
        ({"body": {"base64": "AAEC"}, "body_type": "bytes"}, "application/octet-stream", b"\x00\x01\x02"),
    ],
)  # fmt: skip
async def test_body_kinds(client: HttpClient, params: dict[str, Any], content_type: str, body: bytes) -> None:
    async with serving(ok) as server:
        await call(client, {"method": "POST", "url": server.url, **params})
    (request,) = server.calls
    assert (request.headers["content-type"], request.body) == (content_type, body)


async def test_multipart_carries_fields_and_files(client: HttpClient) -> None:
    body = {
        "note": "weekly",
        "file": {"filename": "w.csv", "content": "a,b\n", "content_type": "text/csv"},
        "raw": {"content": {"base64": "AAEC"}},
    }
    async with serving(ok) as server:
        await call(client, {"method": "POST", "url": server.url, "body": body, "body_type": "multipart"})
    (request,) = server.calls
    head = f"content-type: {request.headers['content-type']}\r\n\r\n".encode()
    parts = [*BytesParser(policy=HTTP).parsebytes(head + request.body).iter_parts()]
    seen = [
        (part.get_param("name", header="content-disposition"), part.get_filename(), part.get_payload(decode=True))
        for part in parts
    ]
    assert seen == [("note", None, b"weekly"), ("file", "w.csv", b"a,b\n"), ("raw", "raw", b"\x00\x01\x02")]
    assert parts[1].get_content_type() == "text/csv"


@pytest.mark.parametrize(
    ("body", "body_type", "words"),
    [
        ({"a": 1}, "text", "text body must be text and is object"),
        ([1], "form", "form body must be an object"),
        ({"a": {"b": 1}}, "form", "the field a must be text"),
        ({}, "multipart", "at least one field"),
        ({"f": {"name": "x"}}, "multipart", "the part f is written as"),
        ({"base64": "%%"}, "bytes", "not valid base64"),
        (5, "bytes", "bytes are written as"),
    ],
)
async def test_body_that_does_not_fit_is_invalid(client: HttpClient, body: Any, body_type: str, words: str) -> None:
    params = {"method": "POST", "url": "http://127.0.0.1:9", "body": body, "body_type": body_type}
    error = await failure_of_filled(client, params)
    assert error.code == "INVALID_CONFIG"
    assert words in error.message


@pytest.mark.parametrize(
    ("credential", "header", "value"),
    [
        (BEARER, "authorization", f"Bearer {SECRET}"),
        ({"type": "basic", "username": "u", "password": "p:w"}, "authorization", "Basic dTpwOnc="),  # u:p:w
        ({"type": "api_key", "value": SECRET}, "x-api-key", SECRET),
        ({"type": "api_key", "value": SECRET, "header": "X-Token", "prefix": "Key "}, "x-token", f"Key {SECRET}"),
    ],
)  # fmt: skip
async def test_credential_goes_into_its_header(client: HttpClient, credential: Any, header: str, value: str) -> None:
    async with serving(ok) as server:
        await call(client, {"url": server.url, "headers": {header: "spoofed"}}, credential=credential)
    assert server.calls[0].headers[header] == value


async def test_credential_in_the_query_is_sent_and_never_shown(client: HttpClient) -> None:
    credential = {"type": "api_key", "value": SECRET, "query": "key"}
    async with serving(ok) as server:
        output = (await call(client, {"url": server.url + "/?a=1"}, credential=credential)).output
    assert server.calls[0].target == f"/?a=1&key={SECRET}"
    assert SECRET not in json.dumps(output)


@pytest.mark.parametrize("credential", [{"type": "smtp"}, {"type": "bearer"}, {"type": "basic", "username": "u"}])
async def test_credential_that_does_not_fit_is_invalid(client: HttpClient, credential: Any) -> None:
    assert (await failure(client, {"url": "http://127.0.0.1:9"}, credential=credential)).code == "INVALID_CONFIG"


async def test_credential_is_bound_to_its_hosts(client: HttpClient) -> None:
    bound = {**BEARER, "allowed_hosts": ["api.example.org", "*.example.com"]}
    async with serving(ok) as server:
        error = await failure(client, {"url": server.url}, credential=bound)
        assert error.code == "ACCESS_DENIED"
        await call(client, {"url": server.url}, credential={**BEARER, "allowed_hosts": ["127.0.0.1"]})
    assert len(server.calls) == 1


async def test_errors_hold_no_secret_in_any_form(client: HttpClient) -> None:
    encoded = base64.b64encode(SECRET.encode()).decode()

    async def echo(request: Call) -> bytes:
        return answer(500, f"{request.headers} {encoded} {SECRET}".encode())

    async with serving(echo) as server:
        error = await failure(client, {"url": server.url}, credential=BEARER)
    shown = error.message + json.dumps(error.details)
    assert SECRET not in shown
    assert encoded not in shown
    assert "[redacted]" in error.details["body"]


async def test_redirects_are_followed_and_the_method_changes_as_browsers_do(client: HttpClient) -> None:
    async def hop(request: Call) -> bytes:
        status = request.target.removeprefix("/")
        return answer(int(status), location="/end") if status.isdigit() else await ok(request)

    async with serving(hop) as server:
        for status in (301, 302, 303, 307, 308):
            output = (await call(client, {"method": "POST", "url": f"{server.url}/{status}", "body": 1})).output
            assert output["url"] == server.url + "/end"
    ends = [(request.method, request.body) for request in server.calls if request.target == "/end"]
    assert ends == [("GET", b"")] * 3 + [("POST", b"1")] * 2


async def test_sixth_redirect_is_an_error_and_none_is_followed_when_not_wanted(client: HttpClient) -> None:
    async def onward(request: Call) -> bytes:
        return answer(302, location=f"/{len(server.calls)}")

    async with serving(onward) as server:
        error = await failure(client, {"url": server.url})
        assert (error.code, len(server.calls)) == ("EXTERNAL_ERROR", 6)
        assert "redirects" in error.message
        stopped = await call(client, {"url": server.url, "follow_redirects": False, "success_codes": "3xx"})
    assert stopped.output["status"] == 302


async def test_secrets_do_not_follow_a_redirect_to_another_origin_and_do_not_come_back(client: HttpClient) -> None:
    async def back(request: Call) -> bytes:
        return answer(302, location=first.url + "/end")

    async def away(request: Call) -> bytes:
        return await ok(request) if request.target.startswith("/end") else answer(302, location=second.url + "/over")

    async with serving(away) as first, serving(back) as second:
        headers = {"Cookie": "session=1", "X-Keep": "yes"}
        await call(client, {"url": first.url, "headers": headers}, credential=BEARER)
    assert first.calls[0].headers["authorization"] == f"Bearer {SECRET}"
    for request in (second.calls[0], first.calls[1]):
        assert "authorization" not in request.headers
        assert "cookie" not in request.headers
        assert request.headers["x-keep"] == "yes"


async def test_cookies_of_one_answer_never_reach_another_request(client: HttpClient) -> None:
    async def cookie(request: Call) -> bytes:
        return answer(200, b"", set_cookie="session=1")

    async with serving(cookie) as server:
        for _ in range(2):
            await call(client, {"url": server.url})
    assert all("cookie" not in request.headers for request in server.calls)


@pytest.mark.parametrize(
    "target", ["http://10.0.0.1/", "http://169.254.169.254/latest/meta-data", "file:///etc/passwd", "gopher://x/"]
)
async def test_redirect_to_a_forbidden_place_is_refused(client: HttpClient, target: str) -> None:
    async def lure(request: Call) -> bytes:
        return answer(302, location=target)

    async with serving(lure) as server:
        error = await failure(client, {"url": server.url})
    assert error.code in ("BLOCKED_ADDRESS", "INVALID_CONFIG")
    assert not error.retryable


@pytest.mark.parametrize(
    ("status", "code", "retryable"),
    [(400, "EXTERNAL_ERROR", False), (401, "EXTERNAL_ERROR", False), (404, "EXTERNAL_ERROR", False),
     (408, "EXTERNAL_ERROR", True), (425, "EXTERNAL_ERROR", True), (429, "RATE_LIMITED", True),
     (500, "EXTERNAL_ERROR", True), (503, "EXTERNAL_ERROR", True), (304, "EXTERNAL_ERROR", False)],
)  # fmt: skip
async def test_status_decides_what_is_worth_another_attempt(
    client: HttpClient, status: int, code: str, retryable: bool
) -> None:
    async def refuse(request: Call) -> bytes:
        return answer(status, b"" if status == 304 else b"no")

    async with serving(refuse) as server:
        error = await failure(client, {"url": server.url})
    assert (error.code, error.retryable, error.details["status"]) == (code, retryable, status)


async def test_retry_after_is_honoured(client: HttpClient) -> None:
    async def busy(request: Call) -> bytes:
        return answer(503, retry_after="7")

    async with serving(busy) as server:
        assert (await failure(client, {"url": server.url})).retry_after_s == 7.0


@pytest.mark.parametrize(
    ("rules", "status", "success"),
    [("2xx", 204, True), (404, 404, True), (404, 200, False), (["2xx", "409"], 409, True),
     ("200-299,404", 404, True), ("4XX", 418, True)],
)  # fmt: skip
async def test_success_codes(client: HttpClient, rules: Any, status: int, success: bool) -> None:
    async def fixed(request: Call) -> bytes:
        return answer(status)

    async with serving(fixed) as server:
        params = {"url": server.url, "success_codes": rules}
        if success:
            assert (await call(client, params)).output["status"] == status
        else:
            assert (await failure(client, params)).details["status"] == status


@pytest.mark.parametrize(
    ("kind", "content_type", "body", "expected"),
    [
        ("auto", "application/problem+json", b'{"a":1}', {"a": 1}),
        ("auto", "application/json", b"{broken", "{broken"),
        ("auto", "text/plain; charset=latin-1", b"gr\xfc\xdfe", "grüße"),
        ("auto", "text/plain; charset=nonsense", b"a", "a"),
        ("auto", "image/png", b"\x89P", {"base64": "iVA="}),
        ("auto", "application/json", b"", None),
        ("json", "text/plain", b"[1]", [1]),
        ("text", "application/json", b"[1]", "[1]"),
        ("bytes", "text/plain", b"a", {"base64": "YQ=="}),
    ],
)
async def test_response_types(client: HttpClient, kind: str, content_type: str, body: bytes, expected: Any) -> None:
    async def fixed(request: Call) -> bytes:
        return answer(200, body, content_type=content_type)

    async with serving(fixed) as server:
        assert (await call(client, {"url": server.url, "response_type": kind})).output["body"] == expected


@pytest.mark.parametrize("body", [b"<html>", b"NaN", b'"\\ud800"', b"[" * 200 + b"]" * 200])
async def test_answer_that_is_no_json_is_an_error_when_json_was_asked_for(client: HttpClient, body: bytes) -> None:
    async def fixed(request: Call) -> bytes:
        return answer(200, body)

    async with serving(fixed) as server:
        error = await failure(client, {"url": server.url, "response_type": "json"})
    assert (error.code, error.retryable) == ("EXTERNAL_ERROR", False)


def gzip_bomb() -> bytes:
    return gzip.compress(b"\0" * 50_000_000)


@pytest.mark.parametrize(
    ("encoding", "packed"),
    [
        ("gzip", gzip_bomb()),
        ("deflate", zlib.compress(b"\0" * 50_000_000)),
        ("gzip, gzip", gzip.compress(gzip_bomb())),
        ("identity", b"x" * 100_001),
    ],
)
async def test_answer_past_the_cap_is_stopped_by_its_unpacked_size(
    client: HttpClient, encoding: str, packed: bytes
) -> None:
    async def bomb(request: Call) -> bytes:
        return answer(200, packed, content_encoding=encoding)

    async with serving(bomb) as server:
        error = await failure(client, {"url": server.url, "max_response_bytes": 100_000})
    assert error.code == "OUTPUT_TOO_LARGE"


async def test_endless_answer_is_stopped_at_the_cap(client: HttpClient) -> None:
    async def endless(request: Call) -> None:
        request.writer.write(b"HTTP/1.1 200 X\r\ntransfer-encoding: chunked\r\n\r\n")
        while True:
            request.writer.write(b"2710\r\n" + b"x" * 10_000 + b"\r\n")
            await request.writer.drain()

    async with serving(endless) as server:
        assert (await failure(client, {"url": server.url, "max_response_bytes": 50_000})).code == "OUTPUT_TOO_LARGE"


async def test_packed_answer_within_the_cap_is_unpacked(client: HttpClient) -> None:
    async def packed(request: Call) -> bytes:
        return answer(200, gzip.compress(b'{"a":1}'), content_encoding="gzip", content_type="application/json")

    async with serving(packed) as server:
        assert (await call(client, {"url": server.url})).output["body"] == {"a": 1}
    assert server.calls[0].headers["accept-encoding"] == "gzip, deflate"


@pytest.mark.parametrize(("encoding", "body"), [("br", b"\x0b\x02\x80"), ("gzip", b"no gzip"), ("x-odd", b"a")])
async def test_answer_that_cannot_be_unpacked_is_an_error(client: HttpClient, encoding: str, body: bytes) -> None:
    async def packed(request: Call) -> bytes:
        return answer(200, body, content_encoding=encoding)

    async with serving(packed) as server:
        assert (await failure(client, {"url": server.url})).code == "EXTERNAL_ERROR"


async def test_timeout_covers_a_dripping_answer(client: HttpClient) -> None:
    async def drip(request: Call) -> None:
        request.writer.write(b"HTTP/1.1 200 X\r\ncontent-length: 1000\r\n\r\n")
        while not request.writer.is_closing():
            request.writer.write(b"x")
            await request.writer.drain()
            await asyncio.sleep(0.02)

    async with serving(drip) as server:
        error = await failure(client, {"url": server.url, "timeout": "200ms"})
    assert (error.code, error.retryable) == ("TIMEOUT", True)


async def test_deadline_of_the_attempt_bounds_the_timeout(client: HttpClient) -> None:
    silent = asyncio.Event()

    async def hang(request: Call) -> None:
        await silent.wait()

    async with serving(hang) as server:
        error = await failure(client, {"method": "POST", "url": server.url}, deadline_s=0.1)
        silent.set()
    assert (error.code, error.retryable, error.details["outcome"]) == ("TIMEOUT", False, "unknown")


@pytest.mark.parametrize(
    ("params", "code", "retryable"),
    [
        ({"method": "GET"}, "EXTERNAL_ERROR", True),
        ({"method": "PUT"}, "EXTERNAL_ERROR", True),
        ({"method": "POST"}, "OUTCOME_UNKNOWN", False),
        ({"method": "PATCH"}, "OUTCOME_UNKNOWN", False),
        ({"method": "POST", "idempotent": True}, "EXTERNAL_ERROR", True),
        ({"method": "GET", "idempotent": False}, "OUTCOME_UNKNOWN", False),
    ],
)
async def test_connection_that_breaks_after_the_request_leaves_the_outcome_unknown(
    client: HttpClient, params: dict[str, Any], code: str, retryable: bool
) -> None:
    async def hang_up(request: Call) -> None:
        return None

    async with serving(hang_up) as server:
        error = await failure(client, {"url": server.url, **params})
    assert (error.code, error.retryable) == (code, retryable)


async def test_refused_connection_is_retryable_even_for_post(client: HttpClient) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        error = await failure(client, {"method": "POST", "url": url, "body": 1})
    assert (error.code, error.retryable) == ("EXTERNAL_ERROR", True)


async def test_untrusted_certificate_is_not_worth_another_attempt(client: HttpClient) -> None:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(Path(__file__).with_name("self_signed.pem"))
    async with serving(ok, tls) as server:
        error = await failure(client, {"url": server.url})
        assert server.calls == []
        trusting = ssl.create_default_context(cafile=str(Path(__file__).with_name("self_signed.pem")))
        async with HttpClient(HttpPolicy(allowed_hosts=["127.0.0.1"]), ssl_context=trusting) as trusted:
            assert (await call(trusted, {"url": server.url})).output["status"] == 200
    assert (error.code, error.details["cause"], error.retryable) == ("EXTERNAL_ERROR", "certificate", False)


@pytest.mark.parametrize(
    "headers",
    [
        {"X-A": "1\r\nX-B: 2"}, {"X-A": "1\nX-B: 2"}, {"X-A": "1\0"}, {"X-A\r\nX-B": "1"}, {"X A": "1"}, {"": "1"},
        {"X-A:": "1"}, {"Host": "internal"}, {"content-length": "5"}, {"Transfer-Encoding": "chunked"},
        {"Connection": "close"}, {"Proxy-Authorization": "x"}, {"X-A": "日本"},
    ],
)  # fmt: skip
async def test_header_that_could_forge_another_is_refused(client: HttpClient, headers: dict[str, str]) -> None:
    async with serving(ok) as server:
        error = await failure_of_filled(client, {"url": server.url, "headers": headers})
    assert error.code == "INVALID_CONFIG"
    assert server.calls == []


async def test_line_break_in_a_credential_is_refused_without_showing_it(client: HttpClient) -> None:
    credential: Any = {"type": "api_key", "value": SECRET + "\r\nX-Evil: 1"}
    async with serving(ok) as server:
        error = await failure(client, {"url": server.url}, credential=credential)
    assert error.code == "INVALID_CONFIG"
    assert SECRET not in error.message + json.dumps(error.details)
    assert server.calls == []


async def test_proxies_of_the_environment_are_ignored(client: HttpClient, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    async with HttpClient(HttpPolicy(allowed_hosts=["127.0.0.0/8"])) as fresh, serving(ok) as server:
        assert (await call(fresh, {"url": server.url})).output["status"] == 200


async def test_connections_are_kept_and_many_requests_run_at_once(client: HttpClient) -> None:
    peers: set[Any] = set()

    async def note(request: Call) -> bytes:
        peers.add(request.writer.get_extra_info("peername"))
        return await ok(request)

    async with serving(note) as server:
        for _ in range(5):
            await call(client, {"url": server.url})
        assert len(peers) == 1
        await asyncio.gather(*(call(client, {"url": server.url}) for _ in range(50)))
    assert len(server.calls) == 55


async def test_cancelling_a_request_frees_its_connection(client: HttpClient) -> None:
    arrived, never = asyncio.Event(), asyncio.Event()

    async def hang(request: Call) -> bytes | None:
        if request.target == "/hang":
            arrived.set()
            await never.wait()
            return None
        return await ok(request)

    async with serving(hang) as server:
        task = asyncio.create_task(call(client, {"url": server.url + "/hang"}))
        await arrived.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (await call(client, {"url": server.url})).output["status"] == 200
        never.set()
