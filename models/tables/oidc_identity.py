"""Who a person is at an identity provider."""

from __future__ import annotations

from datetime import datetime
from typing import Any, cast
from uuid import UUID

from sqlalchemy import ForeignKey, Index
from sqlmodel import Field, SQLModel

from models.tables.columns import created, words


class OidcIdentity(SQLModel, table=True):
    """The link from a provider's subject to an account: it outlives a change of the address at the provider."""

    __tablename__ = cast("Any", "oidc_identity")
    __table_args__ = (Index("oidc_identity_user_idx", "user_id"),)

    issuer: str = words(primary_key=True)
    subject: str = words(primary_key=True)
    user_id: UUID = Field(sa_column_args=[ForeignKey("user_account.id", ondelete="CASCADE")], nullable=False)
    created_at: datetime = created()
