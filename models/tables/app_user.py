"""People who sign in."""

from __future__ import annotations

from datetime import datetime
from typing import Any, cast
from uuid import UUID

from sqlalchemy import UniqueConstraint
from sqlmodel import Field, SQLModel

from models.tables.columns import created, words


class AppUser(SQLModel, table=True):
    """A person of one tenant; `email` is stored lower case and is unique in it."""

    __tablename__ = cast("Any", "app_user")
    __table_args__ = (UniqueConstraint("tenant_id", "email", name="app_user_email_key"),)

    tenant_id: UUID = Field(primary_key=True)
    id: UUID = Field(primary_key=True)
    email: str = words()
    display_name: str = words(default="")
    password_hash: str | None = words(nullable=True)
    created_at: datetime = created()
