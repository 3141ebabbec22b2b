"""Bodies of users. Written by docs/generate.py from the OpenAPI document: change the API, not this file."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from structforge.client.shapes import ReplyModel


class MemberReply(ReplyModel):
    """A person in the tenant. Times are UTC."""

    id: UUID
    email: str
    display_name: str
    role: str
    created_at: datetime
    accepted_at: datetime | None
    invitation_expires_at: datetime | None
    last_login_at: datetime | None
    disabled: bool
