"""Bodies of grants. Written by docs/generate.py from the OpenAPI document: change the API, not this file."""

from __future__ import annotations

from datetime import datetime

from structforge.client.shapes import ReplyModel


class GrantReply(ReplyModel):
    """Who has which role on a workflow."""

    member: str
    email: str | None
    display_name: str | None
    role: str
    granted_by: str
    created_at: datetime


class GrantsReply(ReplyModel):
    """All grants of a workflow, oldest first. Administrators of the tenant are owners without one."""

    items: list[GrantReply]
