"""Routes of audit. Written by docs/generate.py from the OpenAPI document: change the API, not this file."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from structforge.client.calls import Call, Id, listing
from structforge.client.models.audit import AuditEntryReply
from structforge.client.shapes import Page


class AuditRoutes:
    """Routes of audit."""

    @listing
    def list_audit_entries(
        self,
        *,
        action: str | None = None,
        target_kind: str | None = None,
        target_id: str | None = None,
        user_id: Id | None = None,
        key_id: Id | None = None,
        outcome: Literal["done", "refused"] | None = None,
        request_id: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        unknown_callers: bool | None = None,
        cursor: str | None = None,
        limit: int | None = None,
    ) -> Call[Page[AuditEntryReply]]:
        """Changes and refused tries, newest first. Administrators of the tenant may ask."""
        return Call(
            "GET",
            "/api/v1/audit",
            Page[AuditEntryReply],
            params={
                "action": action,
                "target_kind": target_kind,
                "target_id": target_id,
                "user_id": user_id,
                "key_id": key_id,
                "outcome": outcome,
                "request_id": request_id,
                "since": since,
                "until": until,
                "unknown_callers": unknown_callers,
                "cursor": cursor,
                "limit": limit,
            },
        )
