"""Bodies of the routes about the caller."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from pydantic import Field, SecretStr

from api.schemas import Reply, Request
from api.sign_in.schemas import Email, PersonReply, Role


class MeReply(Reply):
    """Who the caller is: a tenant, the API key or login that was shown, and the person that it belongs to."""

    tenant_id: UUID
    key_id: UUID = Field(description="Id of the API key, or of the login")
    key_name: str
    scopes: list[str]
    tenant_role: Role
    user: PersonReply | None = Field(description="null for a key that belongs to no person")
    expires_at: datetime | None = Field(description="When the key or the login ends, null for never")


class ProfileRequest(Request):
    """What a person may change about herself."""

    display_name: str = Field(min_length=1, max_length=200)


class PasswordRequest(Request):
    """The password there is, and the one to come."""

    old_password: SecretStr = Field(min_length=1, max_length=1000)
    new_password: SecretStr = Field(min_length=1, max_length=1000)


class EmailRequest(Request):
    """Another address, and the password that proves who asks."""

    email: Email
    password: SecretStr = Field(min_length=1, max_length=1000)


class DeactivateRequest(Request):
    """The password that proves who asks."""

    password: SecretStr = Field(min_length=1, max_length=1000)


class SessionReply(Reply):
    """A login that goes on. Times are UTC."""

    id: UUID
    tenant_id: UUID
    method: str = Field(description="password, oidc or invitation")
    created_at: datetime
    refreshed_at: datetime
    expires_at: datetime
    current: bool = Field(description="Whether it is the one that asks")
