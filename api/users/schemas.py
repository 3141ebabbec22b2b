"""Bodies of the routes of a tenant's members."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from pydantic import Field

from api.schemas import Reply, Request
from api.sign_in.schemas import Email, Role


class InviteRequest(Request):
    """Whom to invite, and as what."""

    email: Email
    role: Role = "member"
    display_name: str = Field(default="", max_length=200)


class MemberChange(Request):
    """What to change about a member; `disabled` shuts the account out of every tenant."""

    role: Role | None = None
    disabled: bool | None = None


class MemberReply(Reply):
    """A person in the tenant. Times are UTC."""

    id: UUID
    email: str
    display_name: str
    role: Role
    created_at: datetime
    accepted_at: datetime | None = Field(description="null: invited, and has not accepted yet")
    invitation_expires_at: datetime | None
    last_login_at: datetime | None
    disabled: bool


class InvitationReply(MemberReply):
    """A person who is invited. `invitation` is shown here alone: hand it to her, and to nobody else."""

    invitation: str = Field(description="Token for POST /auth/invitations")
