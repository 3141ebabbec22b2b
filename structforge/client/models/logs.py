"""Bodies of logs. Written by docs/generate.py from the OpenAPI document: change the API, not this file."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from structforge.client.shapes import ReplyModel


class LogLineReply(ReplyModel):
    """A line of an execution's log; `path` is null for lines about the whole execution."""

    seq: int
    at: datetime
    level: str
    path: str | None
    iteration: list[int] | None
    attempt: int | None
    message: str
    fields: dict[str, Any] | None


class LogPage(ReplyModel):
    """Lines in the order they were written. `next` is the `after` that goes on behind them; take it even if there
    are none. `ended`: the execution has ended and these were its last lines.
    """

    items: list[LogLineReply]
    next: int
    ended: bool
