"""Tenants: whom everything else belongs to."""

from __future__ import annotations

from datetime import datetime
from typing import Any, cast
from uuid import UUID

from sqlalchemy import UniqueConstraint
from sqlmodel import Field, SQLModel

from models.tables.columns import created, words


class Tenant(SQLModel, table=True):
    """A tenant; `name` is unique over the installation."""

    __tablename__ = cast("Any", "tenant")
    __table_args__ = (UniqueConstraint("name", name="tenant_name_key"),)

    id: UUID = Field(primary_key=True)
    name: str = words()
    created_at: datetime = created()
