"""The HTTP below every provider, vendors' SDKs included: the guarded pool, no proxy, no cookies, bounded answers.

A fault of a connection leaves here as a NodeError already, which the SDKs pass through, so that all providers say the
same of the same fault.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterable, AsyncIterator, Generator
from contextlib import contextmanager
from typing import cast

import httpcore2
import httpx2

from engine.errors import EXTERNAL_ERROR, OUTPUT_TOO_LARGE, TIMEOUT, NodeError
from engine.nodes.generation.port import ModelConnection
from engine.nodes.outbound.addresses import HttpPolicy
from engine.nodes.outbound.targets import parse_url
from engine.nodes.outbound.transport import build_pool
from engine.telemetry.context import bound
from engine.telemetry.tracing import outgoing_call, tracing

MOST_ANSWER_BYTES = 64_000_000
_ANYWHERE = ("0.0.0.0/0", "::/0")
_DROPPED = (b"set-cookie",)


class ProviderHttp:
    """The HTTP clients of all providers of a process, closed at its end."""

    def __init__(self, policy: HttpPolicy, *, ssl_context: ssl.SSLContext | None = None) -> None:
        context = ssl_context or httpx2.create_ssl_context()
        anywhere = HttpPolicy(allowed_hosts=_ANYWHERE, max_connections=policy.max_connections)
        self._guarded = _client(policy, context)
        self._trusted = _client(anywhere, context)

    def client(self, connection: ModelConnection) -> httpx2.AsyncClient:
        """The client for a model: only where an operator wrote the address may it be an internal one."""
        return self._trusted if connection.trusted else self._guarded

    async def aclose(self) -> None:
        await self._guarded.aclose()
        await self._trusted.aclose()


def _client(policy: HttpPolicy, ssl_context: ssl.SSLContext) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(
        transport=GuardedTransport(build_pool(policy, ssl_context)),
        trust_env=False,
        follow_redirects=False,
        timeout=None,  # the call as a whole is bounded, connection and all
        headers={"accept-encoding": "identity", "user-agent": "structforge"},
    )


class GuardedTransport(httpx2.AsyncBaseTransport):
    """httpx2's transport over a pool that connects to permitted addresses alone."""

    def __init__(self, pool: httpcore2.AsyncConnectionPool) -> None:
        self._pool = pool

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send, and give the answer whose body is read as it is asked for.

        Raises: NodeError INVALID_CONFIG, BLOCKED_ADDRESS, EXTERNAL_ERROR or TIMEOUT; later, as the body is read,
        OUTPUT_TOO_LARGE too.
        """
        url = parse_url(str(request.url))
        work = bound()
        if tracing() is None or work is None:
            return await self._send(request, url)
        async with outgoing_call(work, request.method, url.host, url.port) as call:  # providers are told no trace
            response = await self._send(request, url)
            call.status = response.status_code
            return response

    async def _send(self, request: httpx2.Request, url: httpx2.URL) -> httpx2.Response:
        with translated(url.host):
            answer = await self._pool.handle_async_request(
                httpcore2.Request(
                    method=request.method,
                    url=httpcore2.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
                    headers=request.headers.raw,
                    content=cast("httpx2.AsyncByteStream", request.stream),
                    extensions=request.extensions,
                )
            )
        headers = [item for item in answer.headers if item[0].lower() not in _DROPPED]
        body = _Body(answer, url.host)
        return httpx2.Response(answer.status, headers=headers, stream=body, extensions=answer.extensions)

    async def aclose(self) -> None:
        await self._pool.aclose()


class _Body(httpx2.AsyncByteStream):
    """An answer's body, counted; packed ones are refused, for nobody asked for them and they may grow without bound."""

    def __init__(self, answer: httpcore2.Response, host: str) -> None:
        self._answer = answer
        self._host = host
        self._seen = 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        packed = [value for name, value in self._answer.headers if name.lower() == b"content-encoding"]
        if any(value.strip().lower() not in (b"", b"identity") for value in packed):
            raise NodeError(f"{self._host} packed its answer, which was not asked for", code=EXTERNAL_ERROR)
        with translated(self._host):
            # The stream itself, since SDKs come back for what is left behind the end that they look for.
            async for part in cast("AsyncIterable[bytes]", self._answer.stream):
                self._seen += len(part)
                if self._seen > MOST_ANSWER_BYTES:
                    message = f"the answer of {self._host} is over {MOST_ANSWER_BYTES} bytes"
                    raise NodeError(message, code=OUTPUT_TOO_LARGE)
                yield part

    async def aclose(self) -> None:
        await self._answer.aclose()


@contextmanager
def translated(host: str) -> Generator[None]:
    """Faults of the network as NodeErrors that are worth another attempt, but for a certificate nobody trusts."""
    try:
        yield
    except httpcore2.TimeoutException:
        raise NodeError(f"{host} did not answer in time", code=TIMEOUT, retryable=True) from None
    except (httpcore2.NetworkError, httpcore2.ProtocolError) as error:
        distrusted = isinstance(error.__cause__ or error.__context__, ssl.SSLCertVerificationError)
        raise NodeError(
            f"no answer from {host}: {str(error)[:300] or type(error).__name__}",
            code=EXTERNAL_ERROR,
            details={"host": host, "cause": "certificate" if distrusted else "connection"},
            retryable=not distrusted,
        ) from None
