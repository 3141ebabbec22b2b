"""Alarms that are set for every node and hardly ever ring.

The event loop keeps its timers in a heap and cancelled ones stay there, which costs a busy worker a tenth of its time.
Alarms of one delay come due in the order they were set, so a queue and a single timer do for all of them.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections import deque
from collections.abc import Callable


class Alarm:
    """Rings once, in the context in which it was set, unless it is cancelled before."""

    __slots__ = ("_callback", "_context", "due")

    def __init__(self, due: float, callback: Callable[[], None]) -> None:
        self.due = due
        self._callback: Callable[[], None] | None = callback
        self._context = contextvars.copy_context()

    @property
    def cancelled(self) -> bool:
        return self._callback is None

    def cancel(self) -> None:
        self._callback = None

    def ring(self) -> None:
        callback, self._callback = self._callback, None
        if callback is not None:
            self._context.run(callback)


class Alarms:
    """Alarms `delay_s` after they are set; for one event loop."""

    def __init__(self, delay_s: float) -> None:
        self._delay_s = delay_s
        self._waiting: deque[Alarm] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def set(self, callback: Callable[[], None]) -> Alarm:
        """Call `callback` after the delay. An error in it is the loop's to report, and the others ring all the same."""
        loop = asyncio.get_running_loop()
        alarm = Alarm(loop.time() + self._delay_s, callback)
        self._waiting.append(alarm)
        if self._timer is None:
            self._timer = loop.call_at(alarm.due, self._ring, loop)
        return alarm

    def _ring(self, loop: asyncio.AbstractEventLoop) -> None:
        now, waiting = loop.time(), self._waiting
        while waiting and (waiting[0].due <= now or waiting[0].cancelled):
            alarm = waiting.popleft()
            if not alarm.cancelled:
                loop.call_soon(alarm.ring)
        self._timer = loop.call_at(waiting[0].due, self._ring, loop) if waiting else None
