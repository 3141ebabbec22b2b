"""Bodies of the routes by which people sign in."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import AfterValidator, Field, SecretStr

from api.schemas import Reply, Request

Role = Literal["admin", "member"]
MAX_EMAIL = 254  # RFC 5321


def _address(value: str) -> str:
    plain = value.strip().lower()
    name, at, host = plain.partition("@")
    if not (name and at and host) or "@" in host or any(mark.isspace() or not mark.isprintable() for mark in plain):
        raise ValueError("is no e-mail address")
    return plain


Email = Annotated[str, Field(min_length=3, max_length=MAX_EMAIL), AfterValidator(_address)]


class TokenRequest(Request):
    """E-mail and password of a person, and the tenant to work in."""

    email: str = Field(min_length=3, max_length=MAX_EMAIL)
    password: SecretStr = Field(min_length=1, max_length=1000)
    tenant: str | None = Field(
        default=None, max_length=200, description="Id or name of the tenant; by default the person's oldest"
    )


class RefreshRequest(Request):
    """The newest refresh token of a login."""

    refresh_token: SecretStr = Field(min_length=1, max_length=500)


class SwitchRequest(Request):
    """The tenant to work in from now on."""

    tenant: str = Field(min_length=1, max_length=200, description="Id or name of a tenant of yours")


class AcceptRequest(Request):
    """The token of an invitation, and the password: a new one for a new account, else the one there is."""

    token: SecretStr = Field(min_length=1, max_length=500)
    password: SecretStr = Field(min_length=1, max_length=1000)
    display_name: str | None = Field(default=None, max_length=200)


class TenantReply(Reply):
    """A tenant that the person belongs to."""

    id: UUID
    name: str
    role: Role


class PersonReply(Reply):
    id: UUID
    email: str
    display_name: str


class TokenReply(Reply):
    """A login: send `access_token` as a bearer token, and `refresh_token` once, for the next pair of both."""

    access_token: str
    token_type: Literal["bearer"] = "bearer"  # noqa: S105
    expires_in: int = Field(description="Seconds that the access token lasts")
    refresh_token: str
    session_expires_at: datetime = Field(description="When the person signs in anew, however often it is refreshed")
    user: PersonReply
    tenant: TenantReply
    tenants: list[TenantReply] = Field(description="All tenants of the person")


class MethodsReply(Reply):
    """How people may sign in here."""

    password: bool
    oidc: bool
