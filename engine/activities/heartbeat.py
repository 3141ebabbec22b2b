"""Heartbeats of a running activity, so that Temporal notices within seconds that its worker is lost."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self

from temporalio import activity

HEARTBEAT_S = 2.5


class Heartbeats:
    """Beats every `HEARTBEAT_S` while the block runs. A timer and no task, for most activities end before the first."""

    def __init__(self) -> None:
        self._timer: asyncio.TimerHandle | None = None

    def __enter__(self) -> Self:
        self._wait()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _wait(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(HEARTBEAT_S, self._beat)

    def _beat(self) -> None:
        activity.heartbeat()
        self._wait()
