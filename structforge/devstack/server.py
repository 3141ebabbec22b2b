"""One embedded server: started, watched, started again when it dies, stopped."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Protocol

import structlog

from engine.errors import ConfigurationError, StructForgeError
from structforge.devstack.process import Child, Command, log_tail, start

logger = structlog.get_logger(__name__)

# An old server that is still a zombie, or fades away after kill -9, makes the first tries of a new one fail.
EARLY_DEATH_PATIENCE_S = 5.0
RETRY_INTERVAL_S = 0.25
FIRST_BACKOFF_S = 0.1
MAX_BACKOFF_S = 5.0
STABLE_AFTER_S = 10.0


class Server(Protocol):
    """What an embedded server brings: how to make its files, how to run it, how to see that it serves."""

    @property
    def name(self) -> str: ...

    async def prepare(self) -> Command:
        """Create what the server needs on disk (nothing if it is there) and say how to run it."""
        ...

    async def is_ready(self) -> bool:
        """Whether the server does its work now, set-up included; False while it starts."""
        ...


class SupervisedServer:
    """Keeps one server running on the same port and data until `stop`."""

    def __init__(self, server: Server, start_timeout_s: float, on_start: Callable[[], None]) -> None:
        self._server = server
        self._start_timeout_s = start_timeout_s
        self._on_start = on_start
        self._child: Child | None = None
        self._watch: asyncio.Task[None] | None = None
        self.restarts = 0

    @property
    def name(self) -> str:
        return self._server.name

    @property
    def pid(self) -> int | None:
        return self._child.pid if self._child and not self._child.ended else None

    async def start(self) -> None:
        """Returns once the server is ready.

        Raises: StructForgeError with the end of the server's log if it dies or is not ready in time.
        """
        await self._start_once()
        self._watch = asyncio.create_task(self._keep_running(), name=f"supervise {self.name}")

    async def stop(self, deadline_s: float) -> None:
        """Stop the server; it is killed after `deadline_s` seconds."""
        if self._watch:
            self._watch.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watch
        if self._child and not self._child.ended:
            await self._child.stop(deadline_s)

    async def _start_once(self) -> None:
        command = await self._server.prepare()
        loop = asyncio.get_running_loop()
        began = loop.time()
        while True:
            self._child = await start(command)
            self._on_start()
            if await self._until_ready(self._child, began + self._start_timeout_s):
                return
            if loop.time() - began > EARLY_DEATH_PATIENCE_S:
                raise self._failure(command, "ended while starting")
            await asyncio.sleep(RETRY_INTERVAL_S)

    async def _until_ready(self, child: Child, deadline: float) -> bool:
        """True when ready, False when the process ended first."""
        loop = asyncio.get_running_loop()
        while not child.ended:
            if await self._server.is_ready():
                return not child.ended
            if loop.time() > deadline:
                await child.stop(2)
                raise self._failure(child.command, f"was not ready within {self._start_timeout_s:g} s")
            await asyncio.sleep(0.03)
        return False

    def _failure(self, command: Command, what: str) -> StructForgeError:
        tail = log_tail(command.log)
        return ConfigurationError(f"{self.name} {what}; the end of {command.log}:\n{tail}")

    async def _keep_running(self) -> None:
        loop = asyncio.get_running_loop()
        backoff_s = FIRST_BACKOFF_S
        while True:
            assert self._child is not None
            began = loop.time()
            code = await self._child.wait()
            self.restarts += 1
            logger.warning("server ended, starting it again", server=self.name, exit_code=code, restarts=self.restarts)
            backoff_s = FIRST_BACKOFF_S if loop.time() - began > STABLE_AFTER_S else min(2 * backoff_s, MAX_BACKOFF_S)
            await _repeat(self._start_once, self.name, backoff_s)


async def _repeat(attempt: Callable[[], Awaitable[None]], name: str, backoff_s: float) -> None:
    """Call `attempt`, with growing waits before each call, until it works."""
    while True:
        await asyncio.sleep(backoff_s)
        try:
            return await attempt()
        except StructForgeError as error:
            logger.error("server does not start", server=name, error=error.message)
            backoff_s = min(backoff_s * 2, MAX_BACKOFF_S)
