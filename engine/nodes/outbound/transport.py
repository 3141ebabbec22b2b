"""The network below the HTTP client: each connection goes to an address that was checked, and to no other.

A name is resolved here, once for each connection; the checked address itself is connected to, so a second answer of the
name server cannot change the target. Connections that are kept alive were checked when they were made.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, cast

import httpcore2

from engine.errors import BLOCKED_ADDRESS, NodeError
from engine.nodes.outbound.addresses import HttpPolicy

Resolver = Callable[[str, int], Awaitable[list[str]]]
_KEEP_ALIVE_S = 5.0
_FIRST_TRY_S = 5.0


async def resolve_name(host: str, port: int) -> list[str]:
    """Every address of a host, as the operating system orders them.

    Raises: httpcore2.ConnectError if there is none.
    """
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (socket.gaierror, UnicodeError) as error:
        raise httpcore2.ConnectError(f"the name {host} does not resolve") from error
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class GuardedBackend(httpcore2.AsyncNetworkBackend):
    """Connects to permitted addresses alone.

    Raises: NodeError BLOCKED_ADDRESS if none of a host's addresses is permitted; httpcore2.ConnectError.
    """

    def __init__(self, policy: HttpPolicy, resolve: Resolver | None = None) -> None:
        self._policy = policy
        self._resolve = resolve or resolve_name
        self._backend = cast("httpcore2.AsyncNetworkBackend", httpcore2.AnyIOBackend())

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109  # httpcore2's interface
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        addresses = await self._permitted(host, port)
        for address in addresses[:-1]:
            try:
                first = min(timeout or _FIRST_TRY_S, _FIRST_TRY_S)
                return await self._backend.connect_tcp(address, port, first, local_address, socket_options)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout):
                continue
        return await self._backend.connect_tcp(addresses[-1], port, timeout, local_address, socket_options)

    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,  # noqa: ASYNC109
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        raise NodeError("a workflow reaches no local sockets", code=BLOCKED_ADDRESS)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def _permitted(self, host: str, port: int) -> list[str]:
        addresses = await self._resolve(host, port)
        permitted = [address for address in addresses if self._policy.permits(host, address)]
        if not permitted:
            raise NodeError(
                f"{host} is an internal address: a workflow reaches the public internet only; an operator may allow "
                "the host by STRUCTFORGE_HTTP__ALLOWED_HOSTS",
                code=BLOCKED_ADDRESS,
                details={"host": host},
            )
        return permitted


def build_pool(
    policy: HttpPolicy, ssl_context: ssl.SSLContext, resolve: Resolver | None = None
) -> httpcore2.AsyncConnectionPool:
    """The connection pool of a process; no proxy is ever taken from the environment."""
    return httpcore2.AsyncConnectionPool(
        ssl_context=ssl_context,
        max_connections=policy.max_connections,
        max_keepalive_connections=policy.max_connections // 2,
        # Short, so that a server seldom closes an idle connection just as a request leaves on it.
        keepalive_expiry=_KEEP_ALIVE_S,
        network_backend=GuardedBackend(policy, resolve),
    )
