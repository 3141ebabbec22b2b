"""Bodies of the routes of sharing links."""

from __future__ import annotations

from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import Field

from api.schemas import Reply, Request
from api.times import Time


class ShareRequest(Request):
    """A link to make."""

    role: Literal["viewer", "executor"] = Field(
        description="What a visitor may do with the workflow and its executions"
    )
    expires_at: Time = Field(description="When it stops letting anybody in; a setting bounds how far ahead")
    note: str = Field(default="", max_length=500, description="What it is for")


class ShareReply(Reply):
    """A link without its token. Times are UTC."""

    id: UUID
    workflow_id: UUID
    role: Literal["viewer", "executor"]
    note: str
    created_by: str
    created_at: datetime
    expires_at: datetime
    revoked_at: datetime | None
    last_used_at: datetime | None
    uses: int = Field(description="Requests that it let in")


class NewShareReply(ShareReply):
    """A link that was made just now. Its token is shown here and never again."""

    token: str = Field(description="What a visitor sends as X-Share-Token, or as ?share= on reads")
