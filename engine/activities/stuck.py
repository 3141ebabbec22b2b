"""Ends a worker whose event loop is stuck, for it serves nobody and a supervisor can only restart what has ended.

A node that never yields stops the heartbeats of every node in its process. The watch needs no interpreter lock, so it
works against code that holds it too.
"""

from __future__ import annotations

import asyncio
import faulthandler
from types import TracebackType
from typing import Self

ARMED_EACH_S = 1.0


class StuckWatch:
    """While the block runs, a loop that does not turn for `after_s` ends the process, its stacks on stderr.

    `after_s` 0 turns it off. The exit code is 1; nodes that ran count one lost worker.
    """

    def __init__(self, after_s: float) -> None:
        self._after_s = after_s
        self._timer: asyncio.TimerHandle | None = None

    def __enter__(self) -> Self:
        if self._after_s > 0:
            self._arm()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()
            faulthandler.cancel_dump_traceback_later()

    def _arm(self) -> None:
        faulthandler.dump_traceback_later(self._after_s, exit=True)  # replaces the one before
        self._timer = asyncio.get_running_loop().call_later(min(ARMED_EACH_S, self._after_s / 3), self._arm)
