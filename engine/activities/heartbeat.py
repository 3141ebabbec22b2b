"""Heartbeats of a running activity, so that Temporal notices within seconds that its worker is lost.

They also bring cancellations: the server tells an activity that it is cancelled when it beats, and not before. So the
first beats come early, and go on each second while few activities run. A beat is a write of the server's, so a worker
with many of them beats no more often than is needed to be found alive.
"""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Self

from temporalio import activity

from engine.activities.alarms import Alarm, Alarms

FIRST_S = (0.25, 0.5)  # waits before the first beats; most activities end before
OFTEN_S = 1.0
SELDOM_S = 2.5
FEW = 50  # activities of a worker that may beat often; its beats stay about as many a second, however many run


class Pulse:
    """When the activities of one worker process beat."""

    def __init__(self) -> None:
        self._alarms = {delay_s: Alarms(delay_s) for delay_s in (*FIRST_S, OFTEN_S, SELDOM_S)}
        self.running = 0

    def set(self, beats: int, beat: Callable[[], None]) -> Alarm:
        """Call `beat` when an activity that has beaten `beats` times is to beat again."""
        return self._alarms[self.wait_s(beats)].set(beat)

    def wait_s(self, beats: int) -> float:
        if self.running > FEW:
            return SELDOM_S
        return FIRST_S[beats] if beats < len(FIRST_S) else OFTEN_S


class Heartbeats:
    """Beats in the pace of `pulse` while the block runs."""

    def __init__(self, pulse: Pulse) -> None:
        self._pulse = pulse
        self._beats = 0
        self._next: Alarm | None = None

    def __enter__(self) -> Self:
        self._pulse.running += 1
        self._next = self._pulse.set(0, self._beat)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pulse.running -= 1
        if self._next is not None:
            self._next.cancel()

    def _beat(self) -> None:
        self._beats += 1
        self._next = self._pulse.set(self._beats, self._beat)
        activity.heartbeat()
