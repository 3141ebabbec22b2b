"""Sends calls over HTTP and tries again where that is harmless and the server asks for it."""

from __future__ import annotations

import asyncio
import os
import random
import ssl
import time
from dataclasses import dataclass
from typing import Any, Self, TypeVar

import httpx2

from structforge.client.calls import Call
from structforge.client.errors import error_of, retry_after_s, unreachable

Reply = TypeVar("Reply")
TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class Retries:
    """How often a repeatable call that is answered 429 or 503 is sent again, and how long each wait may be.

    The wait is what `Retry-After` says, else it doubles from `first_wait_s`; one over `max_wait_s` is not waited.
    """

    times: int = 3
    first_wait_s: float = 0.25
    max_wait_s: float = 10.0

    def wait_s(self, call: Call[Any], response: httpx2.Response, sent: int) -> float | None:
        """Seconds to wait before the call is sent again after `sent` times; None if it is not."""
        if response.status_code not in (429, 503) or sent > self.times or not call.is_repeatable:
            return None
        asked = retry_after_s(response)
        # Clients that were refused together must not come back together.
        wait = self.first_wait_s * 2 ** (sent - 1) * random.uniform(0.5, 1) if asked is None else asked  # noqa: S311
        return wait if wait <= self.max_wait_s else None


class SyncTransport:
    """The API at `base_url` (without `/api/v1`), called with an API key or access token, each call waiting."""

    is_async = False

    def __init__(
        self, base_url: str, api_key: str, *, timeout_s: float = TIMEOUT_S, retries: Retries | None = None
    ) -> None:
        self._http = httpx2.Client(**_options(base_url, api_key, timeout_s))
        self._timeout_s = timeout_s
        self._retries = retries or Retries()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    def send(self, call: Call[Reply], /) -> Reply:
        """Raises: an error of `structforge.client.errors`."""
        sent = 0
        while True:
            try:
                response = self._http.request(**call.arguments(self._timeout_s))
            except httpx2.HTTPError as error:
                raise unreachable(error) from None
            sent += 1
            if response.is_success or response.status_code in call.accepts:
                return call.read(response)
            wait_s = self._retries.wait_s(call, response, sent)
            if wait_s is None:
                raise error_of(response)
            time.sleep(wait_s)


class AsyncTransport:
    """The same, for asyncio."""

    is_async = True

    def __init__(
        self, base_url: str, api_key: str, *, timeout_s: float = TIMEOUT_S, retries: Retries | None = None
    ) -> None:
        self._http = httpx2.AsyncClient(**_options(base_url, api_key, timeout_s))
        self._timeout_s = timeout_s
        self._retries = retries or Retries()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        await self._http.aclose()

    async def send(self, call: Call[Reply], /) -> Reply:
        """Raises: an error of `structforge.client.errors`."""
        sent = 0
        while True:
            try:
                response = await self._http.request(**call.arguments(self._timeout_s))
            except httpx2.HTTPError as error:
                raise unreachable(error) from None
            sent += 1
            if response.is_success or response.status_code in call.accepts:
                return call.read(response)
            wait_s = self._retries.wait_s(call, response, sent)
            if wait_s is None:
                raise error_of(response)
            await asyncio.sleep(wait_s)


def _options(base_url: str, api_key: str, timeout_s: float) -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {api_key}", "Accept": "application/json"}
    options = {"base_url": base_url, "headers": headers, "timeout": timeout_s, "trust_env": False}
    # Proxies of the environment are not meant for this address, but authorities of its own are.
    own = any(os.environ.get(name) for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"))
    return {**options, "verify": ssl.create_default_context()} if own else options
