"""The three databases for tests of the node, as real servers, and the node run on each of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from engine.activities.clients.databases import Databases
from engine.errors import NodeError
from engine.nodes.base import Credential
from engine.nodes.outbound.addresses import HttpPolicy
from tests.engine.nodes.running import run
from tests.models.server import PostgresServer
from tests.servers.mariadb import MariadbServer, missing_mariadb

PASSWORD_CANARY = "super-password"


@contextmanager
def started_postgres() -> Iterator[PostgresServer]:
    server = PostgresServer()
    try:
        server.initialise()
        server.start()
        _wait(server.wait_ready())
        yield server
    finally:
        server.remove()


@contextmanager
def started_mariadb() -> Iterator[MariadbServer]:
    reason = missing_mariadb()
    if reason is not None:
        pytest.skip(reason)
    server = MariadbServer()
    try:
        server.start()
        _wait(server.wait_ready())
        yield server
    finally:
        server.stop()


def _wait(ready: Coroutine[Any, Any, None]) -> None:
    """From a fixture that may be set up while a test's loop runs."""
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, ready).result()


@dataclass(slots=True)
class Sql:
    """One database, empty, and the node that works on it."""

    kind: str
    client: Databases
    credential: Credential | None = None
    tenant: str = "acme"
    file: str | None = None

    async def node(self, query: str | None = None, parameters: Any = None, **params: Any) -> dict[str, Any]:
        """Output of the node."""
        given = {"query": query} if query is not None else {}
        given |= {} if parameters is None else {"parameters": parameters}
        given |= {} if self.file is None else {"sqlite_file": self.file}
        context: dict[str, Any] = {"databases": self.client, "credential": self.credential, "tenant": self.tenant}
        deadline = params.pop("deadline_s", 30.0)
        return (await run("database", {**given, **params}, deadline_s=deadline, **context)).output

    async def execute(self, query: str, parameters: Any = None, **params: Any) -> dict[str, Any]:
        return await self.node(query, parameters, operation="execute", **params)

    async def rows(self, query: str, parameters: Any = None, **params: Any) -> list[dict[str, Any]]:
        return (await self.node(query, parameters, **params))["rows"]

    async def failure(self, query: str | None = None, parameters: Any = None, **params: Any) -> NodeError:
        with pytest.raises(NodeError) as caught:
            await self.node(query, parameters, **params)
        assert PASSWORD_CANARY not in str(caught.value.as_dict())
        return caught.value


@asynccontextmanager
async def cutting(port: int, word: bytes) -> AsyncIterator[int]:
    """A port that leads to a server, until a client says `word`: then the line is cut."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", port)
        answers = asyncio.create_task(_pump(there, writer, None))
        await _pump(reader, back, word)
        answers.cancel()
        back.close()
        writer.close()

    listener = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield listener.sockets[0].getsockname()[1]
    finally:
        listener.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, word: bytes | None) -> None:
    while part := await reader.read(65536):
        if word is not None and word in part:
            return
        writer.write(part)


def connection(url: str, *, trusted: bool = True, **fields: Any) -> Credential:
    return {"type": "connection", "url": url, "trusted": trusted, **fields}  # type: ignore[typeddict-item]


@asynccontextmanager
async def opened(folder: Path, *allowed: str) -> AsyncIterator[Databases]:
    async with Databases(folder, HttpPolicy(allowed_hosts=allowed)) as client:
        yield client
