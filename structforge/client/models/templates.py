"""Bodies of templates. Written by docs/generate.py from the OpenAPI document: change the API, not this file."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from structforge.client.shapes import ReplyModel


class TemplateDetail(ReplyModel):
    """A template with its document."""

    id: str
    name: str
    description: str
    built_in: bool
    author: str
    workflow_id: UUID | None
    created_at: datetime | None
    document: dict[str, Any]


class TemplateReply(ReplyModel):
    """A template without its document."""

    id: str
    name: str
    description: str
    built_in: bool
    author: str
    workflow_id: UUID | None
    created_at: datetime | None
