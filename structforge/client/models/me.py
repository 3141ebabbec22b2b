"""Bodies of me. Written by docs/generate.py from the OpenAPI document: change the API, not this file."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from structforge.client.models.shared import PersonReply
from structforge.client.shapes import ReplyModel


class MeReply(ReplyModel):
    """Who the caller is: a tenant, the API key or login that was shown, and the person that it belongs to."""

    tenant_id: UUID
    key_id: UUID
    key_name: str
    scopes: list[str]
    tenant_role: str
    user: PersonReply | None
    expires_at: datetime | None


class SessionReply(ReplyModel):
    """A login that goes on. Times are UTC."""

    id: UUID
    tenant_id: UUID
    method: str
    created_at: datetime
    refreshed_at: datetime
    expires_at: datetime
    current: bool
