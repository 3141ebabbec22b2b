"""Bodies of the grant routes."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from pydantic import Field

from api.schemas import Reply, Request
from models.roles import Role


class GrantRequest(Request):
    """The role to give."""

    role: Role = Field(description="owner, editor, executor or viewer; not owner for all members")


class TransferRequest(Request):
    """Who takes a workflow over."""

    user_id: UUID = Field(description="A member of the tenant")


class GrantReply(Reply):
    """Who has which role on a workflow."""

    member: str = Field(description="Id of the person, or `all` for all members of the tenant")
    email: str | None = Field(description="Null for all members")
    display_name: str | None
    role: Role
    granted_by: str = Field(description="The person who gave it; empty for the maker of the workflow")
    created_at: datetime


class GrantsReply(Reply):
    """All grants of a workflow, oldest first. Administrators of the tenant are owners without one."""

    items: list[GrantReply]
