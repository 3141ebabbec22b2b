"""People who sign in."""

from __future__ import annotations

from datetime import datetime
from typing import Any, cast
from uuid import UUID

from sqlalchemy import UniqueConstraint
from sqlmodel import Field, SQLModel

from models.tables.columns import created, moment, words


class UserAccount(SQLModel, table=True):
    """A person of the installation, who may be a member of several tenants; `email` is stored lower case.

    `email_verified`: an identity provider or the operator vouched for the address. Without a password hash the person
    signs in by OIDC, or has yet to accept an invitation.
    """

    __tablename__ = cast("Any", "user_account")
    __table_args__ = (UniqueConstraint("email", name="user_account_email_key"),)

    id: UUID = Field(primary_key=True)
    email: str = words()
    display_name: str = words(default="")
    password_hash: str | None = words(nullable=True)
    email_verified: bool = Field(default=False, sa_column_kwargs={"server_default": "false"})
    disabled_at: datetime | None = moment()
    password_changed_at: datetime | None = moment()
    last_login_at: datetime | None = moment()
    created_at: datetime = created()
