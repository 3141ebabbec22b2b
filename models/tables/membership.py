"""Who belongs to a tenant."""

from __future__ import annotations

from datetime import datetime
from typing import Any, cast
from uuid import UUID

from sqlalchemy import Index, UniqueConstraint
from sqlmodel import Field, SQLModel

from models.tables.columns import created, moment, words


class Membership(SQLModel, table=True):
    """A person in a tenant, as `admin` or `member`. It gives nothing before it is accepted.

    `invitation_hash` is the SHA-256 of the secret that accepts it; it is gone afterwards.
    """

    __tablename__ = cast("Any", "membership")
    __table_args__ = (
        UniqueConstraint("invitation_hash", name="membership_invitation_key"),
        Index("membership_user_idx", "user_id"),
    )

    tenant_id: UUID = Field(primary_key=True)
    user_id: UUID = Field(primary_key=True)
    role: str = words()
    created_at: datetime = created()
    accepted_at: datetime | None = moment()
    invitation_hash: str | None = words(nullable=True)
    invitation_expires_at: datetime | None = moment()
