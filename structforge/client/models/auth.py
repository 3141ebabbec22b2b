"""Bodies of auth. Written by docs/generate.py from the OpenAPI document: change the API, not this file."""

from __future__ import annotations

from datetime import datetime

from structforge.client.models.shared import PersonReply, TenantReply
from structforge.client.shapes import ReplyModel


class MethodsReply(ReplyModel):
    """How people may sign in here."""

    password: bool
    oidc: bool


class TokenReply(ReplyModel):
    """A login: send `access_token` as a bearer token, and `refresh_token` once, for the next pair of both."""

    access_token: str
    token_type: str
    expires_in: int
    refresh_token: str
    session_expires_at: datetime
    user: PersonReply
    tenant: TenantReply
    tenants: list[TenantReply]
