"""Heartbeats of a running activity, so that Temporal notices within seconds that its worker is lost."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from temporalio import activity

from engine.activities.alarms import Alarm, Alarms

HEARTBEAT_S = 2.5


class Heartbeats:
    """Beats whenever an alarm of `alarms` rings, while the block runs. Most activities end before the first."""

    def __init__(self, alarms: Alarms) -> None:
        self._alarms = alarms
        self._next: Alarm | None = None

    def __enter__(self) -> Self:
        self._next = self._alarms.set(self._beat)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._next is not None:
            self._next.cancel()

    def _beat(self) -> None:
        self._next = self._alarms.set(self._beat)
        activity.heartbeat()
