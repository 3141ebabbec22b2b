"""A process of ours under supervision: started again at once whenever it ends, unless it is to stay down."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Mapping
from dataclasses import replace

from structforge.devstack.application import Application
from structforge.devstack.process import Child, Command, log_tail, start

READY_S = 120
SHORT_LIFE_S = 2.0  # a process that ended sooner found something away, and is given a moment
PAUSE_S = 0.5


class Kept:
    """`structforge ROLE`, kept running until `stop`."""

    def __init__(self, application: Application, environment: Mapping[str, str] | None = None) -> None:
        """`environment`: variables beside those of the application."""
        self._application = application
        self._environment = dict(environment or {})
        self._child: Child | None = None
        self._watch: asyncio.Task[None] | None = None
        self._allowed = asyncio.Event()
        self._allowed.set()
        self.ends = 0

    @property
    def pid(self) -> int | None:
        return self._child.pid if self._child and not self._child.ended else None

    async def start(self) -> None:
        """Returns once the process is ready. Raises: AssertionError with the end of its log if it ends or never is."""
        command = await self._command()
        self._child = await start(command)
        try:
            async with asyncio.timeout(READY_S):
                while not await self._application.is_ready():
                    assert not self._child.ended, f"{command.name} ended:\n{log_tail(command.log, 40)}"
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise AssertionError(f"{command.name} is not ready:\n{log_tail(command.log, 40)}") from None
        self._watch = asyncio.create_task(self._keep(), name=f"keep {command.name}")

    def stay_down(self) -> None:
        """From now on, what ends is not started again."""
        self._allowed.clear()

    def come_up(self) -> None:
        self._allowed.set()

    async def stop(self, deadline_s: float) -> None:
        if self._watch is not None:
            self._watch.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watch
        if self._child is not None and not self._child.ended:
            await self._child.stop(deadline_s)

    async def _keep(self) -> None:
        assert self._child is not None
        while True:
            began = time.monotonic()
            await self._child.wait()
            self.ends += 1
            if time.monotonic() - began < SHORT_LIFE_S:
                await asyncio.sleep(PAUSE_S)
            await self._allowed.wait()
            self._child = await start(await self._command())

    async def _command(self) -> Command:
        command = await self._application.prepare()
        return replace(command, environment={**(command.environment or {}), **self._environment})
