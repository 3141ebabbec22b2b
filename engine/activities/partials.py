"""Partial text of running nodes on its way to the live view: a few pieces a second, never waited for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

from engine.activities.clients.redis_live import Partial

EVERY_S = 0.1
LONGEST_PIECE = 4000  # characters; of more than that in one piece only the end is shown


class PartialText:
    """Gathers the text of one attempt and publishes what is new at most every `EVERY_S`.

    `first` says whose text it is. Calling it takes the next piece of text; it never waits and never raises.
    """

    def __init__(self, publish: Callable[[Partial], None], first: Partial) -> None:
        self._publish = publish
        self._like = first
        self._offset = 0  # of the text that waits
        self._waiting: list[str] = []
        self._timer: asyncio.TimerHandle | None = None

    def __call__(self, text: str) -> None:
        self._waiting.append(text)
        if self._timer is None:
            self._show()

    def _show(self) -> None:
        text = "".join(self._waiting)
        if not text:
            self._timer = None  # nothing came since: the next piece goes at once
            return
        self._waiting = []
        self._timer = asyncio.get_running_loop().call_later(EVERY_S, self._show)
        shown = text[-LONGEST_PIECE:]
        self._publish(replace(self._like, offset=self._offset + len(text) - len(shown), text=shown))
        self._offset += len(text)
