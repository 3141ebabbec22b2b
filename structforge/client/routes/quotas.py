"""Routes of quotas. Written by docs/generate.py from the OpenAPI document: change the API, not this file."""

from __future__ import annotations

from typing import Literal

from structforge.client.calls import Call, Id, call
from structforge.client.models.quotas import QuotaReply, Quotas, Usages
from structforge.client.unset import UNSET, Unset


class QuotasRoutes:
    """Routes of quotas."""

    @call
    def list_quotas(self) -> Call[Quotas]:
        """Every limit of the tenant."""
        return Call("GET", "/api/v1/quotas", Quotas)

    @call
    def set_quota(
        self,
        kind: Literal[
            "workflows",
            "executions",
            "concurrent_executions",
            "execution_seconds",
            "execution_timeout_s",
            "nodes",
            "stored_bytes",
        ],
        limit: int,
        *,
        scope: Literal["tenant", "user", "workflow"] | Unset = UNSET,
        person: str | Unset | None = UNSET,
        workflow_id: Id | Unset | None = UNSET,
        period: Literal["hour", "day", "month"] | Unset | None = UNSET,
    ) -> Call[QuotaReply]:
        """Make or change a limit; what was begun before goes on and counts."""
        return Call(
            "PUT",
            "/api/v1/quotas",
            QuotaReply,
            body={
                "kind": kind,
                "scope": scope,
                "person": person,
                "workflow_id": workflow_id,
                "period": period,
                "limit": limit,
            },
        )

    @call
    def delete_quota(
        self,
        *,
        kind: Literal[
            "workflows",
            "executions",
            "concurrent_executions",
            "execution_seconds",
            "execution_timeout_s",
            "nodes",
            "stored_bytes",
        ],
        scope: Literal["tenant", "user", "workflow"] | None = None,
        person: str | None = None,
        workflow_id: Id | None = None,
        period: Literal["hour", "day", "month"] | None = None,
    ) -> Call[None]:
        """Take a limit away: those who wait because of it start."""
        return Call(
            "DELETE",
            "/api/v1/quotas",
            type(None),
            params={"kind": kind, "scope": scope, "person": person, "workflow_id": workflow_id, "period": period},
        )

    @call
    def get_quota_usage(self) -> Call[Usages]:
        """What is used of each limit, and when it frees."""
        return Call("GET", "/api/v1/quotas/usage", Usages)
