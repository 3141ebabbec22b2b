"""Bodies of the folder routes."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import Field, StringConstraints

from api.schemas import Reply, Request

Name = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100, pattern=r"^[^/\\\x00-\x1f\x7f]+$")
]


class FolderRequest(Request):
    """A new folder."""

    name: Name = Field(description="Without slashes, and not `.` or `..`")
    parent_id: UUID | None = Field(default=None, description="null is the top")


class FolderChange(Request):
    """What is left out stays as it is."""

    name: Name | None = None
    parent_id: UUID | None = Field(default=None, description="null moves it to the top")


class FolderReply(Reply):
    """A folder; `path` are the names from the top down to its own."""

    id: UUID
    name: str
    parent_id: UUID | None
    path: list[str]
    created_at: datetime
    updated_at: datetime
