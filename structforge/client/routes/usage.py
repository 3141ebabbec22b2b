"""Routes of usage. Written by docs/generate.py from the OpenAPI document: change the API, not this file."""

from __future__ import annotations

from datetime import date, datetime
from typing import Literal

from structforge.client.calls import Call, Id, call, part
from structforge.client.models.usage import ExecutionUsage, UsageReply


class UsageRoutes:
    """Routes of usage."""

    @call
    def get_execution_usage(self, execution_id: Id) -> Call[ExecutionUsage]:
        """What the AI calls of an execution used so far."""
        return Call("GET", f"/api/v1/executions/{part(execution_id)}/usage", ExecutionUsage)

    @call
    def get_usage(
        self,
        *,
        workflow: Id | None = None,
        from_: date | datetime | None = None,
        to: date | datetime | None = None,
        group_by: Literal["total", "day", "workflow", "execution", "model", "provider", "node"] | None = None,
        limit: int | None = None,
    ) -> Call[UsageReply]:
        """What AI calls used, by day, workflow, execution, model, provider or node."""
        return Call(
            "GET",
            "/api/v1/usage",
            UsageReply,
            params={"workflow": workflow, "from": from_, "to": to, "group_by": group_by, "limit": limit},
        )
