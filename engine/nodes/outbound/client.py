"""The HTTP client of a worker process.

There is no cookie jar, no proxy and no retry here: nothing of one request reaches another, and the engine alone decides
whether a request is sent again.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import httpcore2
import httpx2

from engine.errors import ACCESS_DENIED, EXTERNAL_ERROR, OUTCOME_UNKNOWN, OUTPUT_TOO_LARGE, TIMEOUT, NodeError
from engine.nodes.outbound.addresses import HttpPolicy, host_matches
from engine.nodes.outbound.redaction import Redaction
from engine.nodes.outbound.targets import check_headers, parse_url, same_origin, with_query
from engine.nodes.outbound.transport import Resolver, build_pool
from engine.nodes.ports import HttpRequest, HttpResponse
from engine.telemetry.context import bound
from engine.telemetry.tracing import outgoing_call, tracing

_REDIRECTS = (301, 302, 303, 307, 308)
_ENCODINGS = ("gzip", "deflate", "identity", "")
_DEFAULT_HEADERS = (("user-agent", "structforge"), ("accept", "*/*"), ("accept-encoding", "gzip, deflate"))
_DROPPED_ELSEWHERE = ("authorization", "cookie")
_DROPPED_WITH_BODY = ("content-type", "content-encoding", "content-language")


@dataclass(slots=True)
class _Hop:
    """The request as it stands after the redirects so far."""

    method: str
    url: httpx2.URL
    headers: list[tuple[str, str]]
    content: bytes
    secret_headers: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    secret_query: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])

    @property
    def sent_url(self) -> httpx2.URL:
        return with_query(self.url, self.secret_query)


@dataclass(slots=True)
class _Progress:
    sent: bool = False

    async def trace(self, event: str, info: Any) -> None:
        if event.endswith("send_request_headers.started"):
            self.sent = True


class HttpClient:
    """Fulfils `engine.nodes.ports.HttpPort`; one for a process, closed at its end."""

    def __init__(
        self,
        policy: HttpPolicy,
        *,
        ssl_context: ssl.SSLContext | None = None,
        propagate_to: Sequence[str] = ("*",),
        resolve: Resolver | None = None,
    ) -> None:
        self._pool = build_pool(policy, ssl_context or httpx2.create_ssl_context(), resolve)
        self._propagate_to = _lower(propagate_to)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        await self._pool.aclose()

    async def send(self, request: HttpRequest) -> HttpResponse:
        """Send, follow redirects and read the whole answer within `timeout_s`, whatever its status.

        Raises: NodeError; a failure after something was sent that is not idempotent is OUTCOME_UNKNOWN (or a TIMEOUT
        that is not retryable), for the other side may have acted.
        """
        redaction = Redaction([value for _, value in [*request.secret_headers, *request.secret_query]])
        hop = _first_hop(request)
        progress = _Progress()
        started = time.perf_counter()
        try:
            async with asyncio.timeout(request.timeout_s):
                response, content = await self._follow(request, hop, progress)
        except TimeoutError:
            raise _timed_out(request, hop, progress) from None
        except (httpcore2.NetworkError, httpcore2.ProtocolError, httpcore2.TimeoutException) as error:
            raise _broken(request, hop, progress, error, redaction) from None
        except httpx2.DecodingError:
            raise NodeError(f"{hop.url.host} sent a body that cannot be unpacked", code=EXTERNAL_ERROR) from None
        elapsed_ms = round((time.perf_counter() - started) * 1000, 3)
        return HttpResponse(response.status_code, _headers(response), content, redaction.text(str(hop.url)), elapsed_ms)

    async def _follow(self, request: HttpRequest, hop: _Hop, progress: _Progress) -> tuple[httpx2.Response, bytes]:
        for redirects in range(request.max_redirects + 1):
            response = await self._start(hop, progress)
            try:
                location = response.headers.get("location")
                if not (location and response.status_code in _REDIRECTS and request.max_redirects > 0):
                    return response, await _read(response, hop, request.max_response_bytes)
                if redirects == request.max_redirects:
                    break
                _redirect(hop, response.status_code, location)
            finally:
                await response.aclose()
        raise NodeError(
            f"{hop.url.host}: more than {request.max_redirects} redirects",
            code=EXTERNAL_ERROR,
            details={"cause": "redirects"},
        )

    async def _start(self, hop: _Hop, progress: _Progress) -> httpx2.Response:
        work = bound()
        if tracing() is None or work is None:
            return await self._exchange(hop, progress, [])
        async with outgoing_call(work, hop.method, hop.url.host, hop.url.port) as call:
            tells = "*" in self._propagate_to or host_matches(hop.url.host, self._propagate_to)
            own = any(name.lower() == "traceparent" for name, _ in hop.headers)
            response = await self._exchange(hop, progress, call.headers if tells and not own else [])
            call.status = response.status_code
            return response

    async def _exchange(self, hop: _Hop, progress: _Progress, traced: list[tuple[str, str]]) -> httpx2.Response:
        prepared = httpx2.Request(
            hop.method, hop.sent_url, headers=[*hop.headers, *traced, *hop.secret_headers], content=hop.content or None
        )
        url = prepared.url
        answer = await self._pool.handle_async_request(
            httpcore2.Request(
                method=hop.method,
                url=httpcore2.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
                headers=prepared.headers.raw,
                content=hop.content,
                extensions={"trace": progress.trace},
            )
        )
        return httpx2.Response(answer.status, headers=answer.headers, stream=_Stream(answer), request=prepared)


class _Stream(httpx2.AsyncByteStream):
    """An answer's body, whose connection returns to the pool when it is closed."""

    def __init__(self, answer: httpcore2.Response) -> None:
        self._answer = answer

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for part in self._answer.aiter_stream():
            yield part

    async def aclose(self) -> None:
        await self._answer.aclose()


def _first_hop(request: HttpRequest) -> _Hop:
    url = parse_url(request.url)
    secrets = [*request.secret_headers, *request.secret_query]
    if secrets and request.allowed_hosts is not None and not host_matches(url.host, _lower(request.allowed_hosts)):
        raise NodeError(
            f"the credential is bound to other hosts than {url.host}", code=ACCESS_DENIED, details={"host": url.host}
        )
    given = check_headers(request.headers)
    names = {name.lower() for name, _ in given}
    return _Hop(
        request.method,
        with_query(url, request.query),
        [*(item for item in _DEFAULT_HEADERS if item[0] not in names), *given],
        request.content,
        check_headers(request.secret_headers),
        list(request.secret_query),
    )


def _lower(names: Sequence[str]) -> list[str]:
    return [name.strip().rstrip(".").lower() for name in names]


def _redirect(hop: _Hop, status: int, location: str) -> None:
    """Turn the hop to where the answer points. The new address is checked when it is connected to."""
    target = parse_url(str(hop.url.join(location))) if _joinable(hop.url, location) else parse_url(location)
    if (status == 303 and hop.method != "HEAD") or (status in (301, 302) and hop.method == "POST"):
        hop.method, hop.content = "GET", b""
        hop.headers = [item for item in hop.headers if item[0].lower() not in _DROPPED_WITH_BODY]
    if not same_origin(hop.url, target):
        hop.secret_headers, hop.secret_query = [], []
        hop.headers = [item for item in hop.headers if item[0].lower() not in _DROPPED_ELSEWHERE]
    hop.url = target


def _joinable(url: httpx2.URL, location: str) -> bool:
    try:
        url.join(location)
    except (httpx2.InvalidURL, UnicodeError, ValueError):
        return False
    return True


async def _read(response: httpx2.Response, hop: _Hop, limit: int) -> bytes:
    """The decoded body, counted as it is unpacked, so that a small answer cannot grow past the limit in memory."""
    encodings = [part.strip().lower() for part in response.headers.get("content-encoding", "").split(",")]
    unknown = [name for name in encodings if name not in _ENCODINGS]
    if unknown and hop.method != "HEAD":
        raise NodeError(
            f"{hop.url.host} packed its answer by {unknown[0][:20]}, which was not asked for", code=EXTERNAL_ERROR
        )
    announced = response.headers.get("content-length", "")
    if hop.method != "HEAD" and announced.isdecimal() and int(announced[:20]) > limit:
        raise _too_large(hop, limit)
    body = bytearray()
    async for part in response.aiter_bytes():
        body += part
        if len(body) > limit:
            raise _too_large(hop, limit)
    return bytes(body)


def _headers(response: httpx2.Response) -> dict[str, str]:
    return {name.lower(): value for name, value in response.headers.items()}


def _too_large(hop: _Hop, limit: int) -> NodeError:
    return NodeError(
        f"the answer of {hop.url.host} is over {limit} bytes: raise max_response_bytes, or ask for less",
        code=OUTPUT_TOO_LARGE,
        details={"max_response_bytes": limit},
    )


def _timed_out(request: HttpRequest, hop: _Hop, progress: _Progress) -> NodeError:
    unknown = progress.sent and not request.idempotent
    return NodeError(
        f"{hop.url.host} did not answer within {request.timeout_s:g} s",
        code=TIMEOUT,
        details={"timeout_s": request.timeout_s, "outcome": "unknown" if unknown else "none"},
        retryable=not unknown,
    )


def _broken(request: HttpRequest, hop: _Hop, progress: _Progress, error: Exception, redaction: Redaction) -> NodeError:
    reason = redaction.text(str(error) or type(error).__name__)[:300]
    if progress.sent and not request.idempotent:
        return NodeError(
            f"the connection to {hop.url.host} broke after the request was sent, it may be carried out: {reason}",
            code=OUTCOME_UNKNOWN,
            details={"host": hop.url.host},
        )
    distrusted = isinstance(error.__cause__ or error.__context__, ssl.SSLCertVerificationError)
    return NodeError(
        f"no answer from {hop.url.host}: {reason}",
        code=EXTERNAL_ERROR,
        details={"host": hop.url.host, "cause": "certificate" if distrusted else "connection"},
        retryable=not distrusted,
    )
