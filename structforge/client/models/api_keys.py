"""Bodies of api keys. Written by docs/generate.py from the OpenAPI document: change the API, not this file."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from structforge.client.shapes import ReplyModel


class KeyReply(ReplyModel):
    """An API key without its secret. Times are UTC."""

    id: UUID
    name: str
    hint: str
    scopes: list[str]
    user_id: UUID | None
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None


class NewKeyReply(ReplyModel):
    """A key with its secret, which is shown here alone."""

    id: UUID
    name: str
    hint: str
    scopes: list[str]
    user_id: UUID | None
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    key: str


class ScopeReply(ReplyModel):
    """What a key may be allowed."""

    scope: str
    administrators_only: bool
