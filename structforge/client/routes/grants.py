"""Routes of grants. Written by docs/generate.py from the OpenAPI document: change the API, not this file."""

from __future__ import annotations

from typing import Literal

from structforge.client.calls import Call, Id, call, key, part
from structforge.client.models.grants import GrantReply, GrantsReply


class GrantsRoutes:
    """Routes of grants."""

    @call
    def list_grants(self, workflow_id: Id) -> Call[GrantsReply]:
        """Who has which role on a workflow. Editors and owners may ask."""
        return Call("GET", f"/api/v1/workflows/{part(workflow_id)}/grants", GrantsReply)

    @call
    def put_grant(
        self,
        workflow_id: Id,
        member: str,
        role: Literal["viewer", "executor", "editor", "owner"],
    ) -> Call[GrantReply]:
        """Give a role, in place of the one before. Owners may; 409 if it were the last owner's."""
        return Call(
            "PUT",
            f"/api/v1/workflows/{part(workflow_id)}/grants/{part(member)}",
            GrantReply,
            body={"role": role},
        )

    @call
    def delete_grant(self, workflow_id: Id, member: str) -> Call[None]:
        """Take a role back. Owners may; 409 if it were the last owner's."""
        return Call("DELETE", f"/api/v1/workflows/{part(workflow_id)}/grants/{part(member)}", type(None))

    @call
    def transfer_workflow(
        self,
        workflow_id: Id,
        user_id: Id,
        *,
        idempotency_key: str | None = None,
    ) -> Call[GrantsReply]:
        """Make a person the workflow's one owner; those who were stay as editors."""
        return Call(
            "POST",
            f"/api/v1/workflows/{part(workflow_id)}/grants/transfer",
            GrantsReply,
            headers={"Idempotency-Key": key(idempotency_key)},
            body={"user_id": user_id},
        )
