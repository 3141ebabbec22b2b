"""Workflows: what users define."""

from __future__ import annotations

from datetime import datetime
from typing import Any, cast
from uuid import UUID

from sqlalchemy import ARRAY, ForeignKeyConstraint, Index, Integer, Text, UniqueConstraint, text
from sqlmodel import Field, SQLModel

from models.tables.columns import created, words


class Workflow(SQLModel, table=True):
    """The head of a workflow's versions.

    `status` is `draft` (nothing is published), `active`, `paused` (nothing starts, what runs goes on) or `archived`.
    `name` and `description` are those of the latest version; `tags` are sorted and in lower case.
    """

    __tablename__ = cast("Any", "workflow")
    __table_args__ = (
        UniqueConstraint("tenant_id", "name", name="workflow_name_key"),
        ForeignKeyConstraint(
            ["tenant_id", "folder_id"], ["folder.tenant_id", "folder.id"], name="workflow_folder_fkey"
        ),
        Index("workflow_owner_status_created_idx", "tenant_id", "owner", "status", "created_at"),
        Index("workflow_folder_idx", "tenant_id", "folder_id"),
        Index("workflow_updated_idx", "tenant_id", "updated_at", "id"),
    )

    tenant_id: UUID = Field(primary_key=True)
    id: UUID = Field(primary_key=True)
    name: str = words()
    description: str = words(default="")
    owner: str = words(default="")
    status: str = words(default="active")
    latest_version: int = Field(default=0, sa_type=Integer, sa_column_kwargs={"server_default": text("0")})
    published_version: int | None = Field(default=None, sa_type=Integer)
    created_at: datetime = created()
    updated_at: datetime = created()
    folder_id: UUID | None = None
    tags: list[str] = Field(
        default_factory=list,
        sa_type=ARRAY(Text),  # pyright: ignore[reportArgumentType]
        nullable=False,
        sa_column_kwargs={"server_default": text("'{}'")},
    )
