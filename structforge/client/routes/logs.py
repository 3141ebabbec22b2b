"""Routes of logs. Written by docs/generate.py from the OpenAPI document: change the API, not this file."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from structforge.client.calls import Call, Id, call, part
from structforge.client.models.logs import LogPage


class LogsRoutes:
    """Routes of logs."""

    @call
    def list_logs(
        self,
        execution_id: Id,
        *,
        level: Literal["debug", "info", "warning", "error"] | None = None,
        node: str | None = None,
        below: bool | None = None,
        attempt: int | None = None,
        text: str | None = None,
        from_: datetime | None = None,
        to: datetime | None = None,
        after: int | None = None,
        limit: int | None = None,
        wait_s: float | None = None,
    ) -> Call[LogPage]:
        """Lines of an execution's log, in the order they were written."""
        return Call(
            "GET",
            f"/api/v1/executions/{part(execution_id)}/logs",
            LogPage,
            params={
                "level": level,
                "node": node,
                "below": below,
                "attempt": attempt,
                "text": text,
                "from": from_,
                "to": to,
                "after": after,
                "limit": limit,
                "wait_s": wait_s,
            },
            extra_s=wait_s or 0,
        )
