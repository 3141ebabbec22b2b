"""Bodies of folders. Written by docs/generate.py from the OpenAPI document: change the API, not this file."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from structforge.client.shapes import ReplyModel


class FolderReply(ReplyModel):
    """A folder; `path` are the names from the top down to its own."""

    id: UUID
    name: str
    parent_id: UUID | None
    path: list[str]
    created_at: datetime
    updated_at: datetime
