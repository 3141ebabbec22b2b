"""Bodies of the log routes."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import Field

from api.schemas import Reply


class LogLineReply(Reply):
    """A line of an execution's log; `path` is null for lines about the whole execution."""

    seq: int = Field(description="Grows from line to line, with gaps")
    at: datetime
    level: str = Field(description="debug, info, warning or error")
    path: str | None
    iteration: list[int] | None
    attempt: int | None
    message: str
    fields: dict[str, Any] | None


class LogPage(Reply):
    """Lines in the order they were written. `next` is the `after` that goes on behind them; take it even if there are
    none. `ended`: the execution has ended and these were its last lines."""

    items: list[LogLineReply]
    next: int
    ended: bool
