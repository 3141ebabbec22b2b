"""Bodies of tenants. Written by docs/generate.py from the OpenAPI document: change the API, not this file."""

from __future__ import annotations

from datetime import datetime
from typing import Literal
from uuid import UUID

from structforge.client.models.shared import InvitationReply
from structforge.client.shapes import ReplyModel, RequestModel


class InviteRequest(RequestModel):
    """Whom to invite, and as what."""

    email: str
    role: Literal["admin", "member"] | None = None
    display_name: str | None = None


class NewTenantReply(ReplyModel):
    """A tenant that was made, with the invitation of its administrator."""

    id: UUID
    name: str
    created_at: datetime
    administrator: InvitationReply | None


class TenantRecord(ReplyModel):
    """A tenant of the installation."""

    id: UUID
    name: str
    created_at: datetime
