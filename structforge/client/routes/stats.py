"""Routes of stats. Written by docs/generate.py from the OpenAPI document: change the API, not this file."""

from __future__ import annotations

from datetime import date, datetime

from structforge.client.calls import Call, Id, call
from structforge.client.models.stats import StatsReply


class StatsRoutes:
    """Routes of stats."""

    @call
    def get_stats(
        self,
        *,
        from_: date | datetime | None = None,
        to: date | datetime | None = None,
        workflow: Id | None = None,
    ) -> Call[StatsReply]:
        """Executions by status and trigger, their success and durations, and what runs now."""
        return Call("GET", "/api/v1/stats", StatsReply, params={"from": from_, "to": to, "workflow": workflow})
