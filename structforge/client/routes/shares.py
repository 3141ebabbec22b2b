"""Routes of shares. Written by docs/generate.py from the OpenAPI document: change the API, not this file."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from structforge.client.calls import Call, Id, call, key, listing, part
from structforge.client.models.shares import NewShareReply, ShareReply
from structforge.client.shapes import Page
from structforge.client.unset import UNSET, Unset


class SharesRoutes:
    """Routes of shares."""

    @listing
    def list_shares(
        self,
        workflow_id: Id,
        *,
        cursor: str | None = None,
        limit: int | None = None,
    ) -> Call[Page[ShareReply]]:
        """The links of a workflow, newest first, those that let nobody in any more among them. Owners may."""
        return Call(
            "GET",
            f"/api/v1/workflows/{part(workflow_id)}/shares",
            Page[ShareReply],
            params={"cursor": cursor, "limit": limit},
        )

    @call
    def create_share(
        self,
        workflow_id: Id,
        role: Literal["viewer", "executor"],
        expires_at: datetime,
        *,
        note: str | Unset = UNSET,
        idempotency_key: str | None = None,
    ) -> Call[NewShareReply]:
        """Make a link. Its token is in this answer alone. Owners may."""
        return Call(
            "POST",
            f"/api/v1/workflows/{part(workflow_id)}/shares",
            NewShareReply,
            headers={"Idempotency-Key": key(idempotency_key)},
            body={"role": role, "expires_at": expires_at, "note": note},
        )

    @call
    def revoke_share(self, workflow_id: Id, share_id: Id) -> Call[None]:
        """Let nobody in by a link any more, from the next request on. Owners may."""
        return Call("DELETE", f"/api/v1/workflows/{part(workflow_id)}/shares/{part(share_id)}", type(None))
