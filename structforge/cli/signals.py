"""Ctrl-C and SIGTERM for commands that have something to bring to an end first."""

from __future__ import annotations

import asyncio
import signal
from types import TracebackType
from typing import Self

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interruption:
    """`async with Interruption() as stop`: the first signal cancels the task, or sets `stop.asked` while `stop.gently`.

    A second signal cancels the task in any case; further ones are ignored, because what then ends is bounded.
    """

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.gently = False
        self.number: int | None = None
        self._cancelled = False

    @property
    def exit_code(self) -> int:
        """128 and the signal's number, as shells have it."""
        return 128 + (self.number or signal.SIGINT)

    async def __aenter__(self) -> Self:
        self._task = asyncio.current_task()
        self._loop = asyncio.get_running_loop()
        for number in _SIGNALS:
            self._loop.add_signal_handler(number, self._receive, number)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number in _SIGNALS:
            self._loop.remove_signal_handler(number)

    def _receive(self, number: int) -> None:
        self.number = self.number or number
        if self.gently and not self.asked.is_set():
            self.asked.set()
        elif not self._cancelled and self._task is not None:
            self._cancelled = True
            self._task.cancel()
