"""Bodies of shares. Written by docs/generate.py from the OpenAPI document: change the API, not this file."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from structforge.client.shapes import ReplyModel


class NewShareReply(ReplyModel):
    """A link that was made just now. Its token is shown here and never again."""

    id: UUID
    workflow_id: UUID
    role: str
    note: str
    created_by: str
    created_at: datetime
    expires_at: datetime
    revoked_at: datetime | None
    last_used_at: datetime | None
    uses: int
    token: str


class ShareReply(ReplyModel):
    """A link without its token. Times are UTC."""

    id: UUID
    workflow_id: UUID
    role: str
    note: str
    created_by: str
    created_at: datetime
    expires_at: datetime
    revoked_at: datetime | None
    last_used_at: datetime | None
    uses: int
