"""Folders: the tree that a tenant's workflows stand in."""

from __future__ import annotations

from datetime import datetime
from typing import Any, cast
from uuid import UUID

from sqlalchemy import ForeignKeyConstraint, UniqueConstraint
from sqlmodel import Field, SQLModel

from models.tables.columns import created, words


class Folder(SQLModel, table=True):
    """A folder; `parent_id` null is the top. Names are unique within a parent."""

    __tablename__ = cast("Any", "folder")
    __table_args__ = (
        ForeignKeyConstraint(["tenant_id", "parent_id"], ["folder.tenant_id", "folder.id"], name="folder_parent_fkey"),
        UniqueConstraint("tenant_id", "parent_id", "name", name="folder_name_key", postgresql_nulls_not_distinct=True),
    )

    tenant_id: UUID = Field(primary_key=True)
    id: UUID = Field(primary_key=True)
    parent_id: UUID | None = None
    name: str = words()
    created_at: datetime = created()
    updated_at: datetime = created()
