"""Versions: immutable saved specs."""

from __future__ import annotations

from datetime import datetime
from typing import Any, cast
from uuid import UUID

from sqlalchemy import Integer, UniqueConstraint, Uuid, true
from sqlmodel import Field, SQLModel

from models.tables.columns import created, document, words


class WorkflowVersion(SQLModel, table=True):
    """Version `number` (1, 2, ...) of a workflow; the application may insert rows here and never change one.

    `digest` is the hexadecimal SHA-256 of the spec's canonical JSON. A draft may be saved with errors: it is not
    `valid`, and neither published nor run.
    """

    __tablename__ = cast("Any", "workflow_version")
    __table_args__ = (UniqueConstraint("tenant_id", "workflow_id", "number", name="workflow_version_number_key"),)

    tenant_id: UUID = Field(primary_key=True)
    id: UUID = Field(primary_key=True)
    workflow_id: UUID
    number: int = Field(sa_type=Integer)
    spec: dict[str, Any] = document(nullable=False)
    digest: str = words()
    author: str = words(default="")
    note: str = words(default="")
    created_at: datetime = created()
    valid: bool = Field(default=True, sa_column_kwargs={"server_default": true()})
    author_id: UUID | None = Field(default=None, sa_type=Uuid, nullable=True)  # null: no person's doing
