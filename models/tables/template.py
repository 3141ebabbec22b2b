"""Templates of a tenant: documents that new workflows are made from."""

from __future__ import annotations

from datetime import datetime
from typing import Any, cast
from uuid import UUID

from sqlalchemy import UniqueConstraint
from sqlmodel import Field, SQLModel

from models.tables.columns import created, document, words


class Template(SQLModel, table=True):
    """A document as it stood when it was made a template; `workflow_id` is where it came from."""

    __tablename__ = cast("Any", "template")
    __table_args__ = (UniqueConstraint("tenant_id", "name", name="template_name_key"),)

    tenant_id: UUID = Field(primary_key=True)
    id: UUID = Field(primary_key=True)
    name: str = words()
    description: str = words(default="")
    spec: dict[str, Any] = document(nullable=False)
    workflow_id: UUID | None = None
    author: str = words(default="")
    created_at: datetime = created()
