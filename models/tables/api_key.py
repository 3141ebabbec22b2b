"""API keys: only their hashes."""

from __future__ import annotations

from datetime import datetime
from typing import Any, cast
from uuid import UUID

from sqlalchemy import ARRAY, Index, Text, UniqueConstraint, text
from sqlmodel import Field, SQLModel

from models.tables.columns import created, moment, words


class ApiKey(SQLModel, table=True):
    """A key of a tenant; `hash` is the hexadecimal SHA-256 of 256 random bits, so it needs no salt.

    It acts for the person `user_id`, or for nobody. `hint` is the beginning of the secret, to tell keys apart.
    """

    __tablename__ = cast("Any", "api_key")
    __table_args__ = (
        UniqueConstraint("hash", name="api_key_hash_key"),
        Index("api_key_user_idx", "tenant_id", "user_id", postgresql_where=text("user_id IS NOT NULL")),
    )

    tenant_id: UUID = Field(primary_key=True)
    id: UUID = Field(primary_key=True)
    name: str = words()
    hash: str = words()
    scopes: list[str] = Field(sa_type=ARRAY(Text), nullable=False)  # pyright: ignore[reportArgumentType]
    created_at: datetime = created()
    expires_at: datetime | None = moment()
    last_used_at: datetime | None = moment()
    user_id: UUID | None = None
    hint: str = words(default="")
