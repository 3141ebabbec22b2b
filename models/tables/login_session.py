"""Logins of people."""

from __future__ import annotations

from datetime import datetime
from typing import Any, cast
from uuid import UUID

from sqlalchemy import Index, UniqueConstraint
from sqlmodel import Field, SQLModel

from models.tables.columns import created, moment, words


class LoginSession(SQLModel, table=True):
    """One login of a person into a tenant, and the family of refresh tokens that came of it.

    A refresh token is two secrets: `family_hash` finds the session, `token_hash` is that of the newest token. One whose
    family is known and whose other half is not the newest has been used before, and ends the session.
    """

    __tablename__ = cast("Any", "login_session")
    __table_args__ = (
        UniqueConstraint("family_hash", name="login_session_family_key"),
        Index("login_session_user_idx", "user_id"),
    )

    tenant_id: UUID = Field(primary_key=True)
    id: UUID = Field(primary_key=True)
    user_id: UUID
    family_hash: str = words()
    token_hash: str = words()
    method: str = words()
    created_at: datetime = created()
    refreshed_at: datetime = created()
    expires_at: datetime = moment()
    revoked_at: datetime | None = moment()
    revoked_reason: str | None = words(nullable=True)
