"""Bodies of the routes of tenants."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from pydantic import Field

from api.schemas import Reply, Request
from api.users.schemas import InvitationReply, InviteRequest


class TenantRequest(Request):
    """A new tenant, and who administers it."""

    name: str = Field(min_length=1, max_length=100, pattern=r"^\S(.*\S)?$")
    administrator: InviteRequest | None = Field(default=None, description="Is invited as administrator")


class TenantChange(Request):
    name: str = Field(min_length=1, max_length=100, pattern=r"^\S(.*\S)?$")


class TenantRecord(Reply):
    """A tenant of the installation."""

    id: UUID
    name: str
    created_at: datetime


class NewTenantReply(TenantRecord):
    """A tenant that was made, with the invitation of its administrator."""

    administrator: InvitationReply | None
