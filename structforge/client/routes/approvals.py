"""Routes of approvals. Written by docs/generate.py from the OpenAPI document: change the API, not this file."""

from __future__ import annotations

from typing import Any, Literal

from structforge.client.calls import Call, Id, call, listing, part
from structforge.client.models.approvals import ApprovalReply, WaitingCount
from structforge.client.shapes import Page
from structforge.client.unset import UNSET, Unset


class ApprovalsRoutes:
    """Routes of approvals."""

    @listing
    def list_approvals(
        self,
        *,
        status: str | None = None,
        execution_id: Id | None = None,
        mine: bool | None = None,
        cursor: str | None = None,
        limit: int | None = None,
    ) -> Call[Page[ApprovalReply]]:
        """Approvals that the caller may see or is asked for, newest first, without the forms that people filled in.
        With `mine`: what waits for the caller, who is asked by name or by role, has not spoken, and did not start it
        itself unless that is allowed. It goes without `status` and `execution_id`.
        """
        return Call(
            "GET",
            "/api/v1/approvals",
            Page[ApprovalReply],
            params={"status": status, "execution_id": execution_id, "mine": mine, "cursor": cursor, "limit": limit},
        )

    @call
    def count_approvals(self) -> Call[WaitingCount]:
        """How many approvals wait for the caller."""
        return Call("GET", "/api/v1/approvals/count", WaitingCount)

    @call
    def get_approval(self, approval_id: Id) -> Call[ApprovalReply]:
        """An approval with all that was said."""
        return Call("GET", f"/api/v1/approvals/{part(approval_id)}", ApprovalReply)

    @call
    def decide_approval(
        self,
        approval_id: Id,
        decision: Literal["approved", "rejected"],
        *,
        form: Any = UNSET,
        comment: str | Unset = UNSET,
    ) -> Call[ApprovalReply]:
        """Approve or reject. 403 if the caller may not decide, 409 if it is decided, 422 if the form does not fit."""
        return Call(
            "POST",
            f"/api/v1/approvals/{part(approval_id)}",
            ApprovalReply,
            body={"decision": decision, "form": form, "comment": comment},
        )

    @call
    def approve_node(
        self,
        execution_id: Id,
        path: str,
        decision: Literal["approved", "rejected"],
        *,
        form: Any = UNSET,
        comment: str | Unset = UNSET,
        iteration: list[int] | Unset = UNSET,
    ) -> Call[ApprovalReply]:
        """The same for a node of a live execution. 409 if it waits for nobody."""
        return Call(
            "POST",
            f"/api/v1/executions/{part(execution_id)}/nodes/{part(path)}/approve",
            ApprovalReply,
            body={"decision": decision, "form": form, "comment": comment, "iteration": iteration},
        )
