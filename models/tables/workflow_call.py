"""Workflows that a version calls by a constant name, and that its author might start when it was saved."""

from __future__ import annotations

from typing import Any, cast
from uuid import UUID

from sqlalchemy import ForeignKeyConstraint
from sqlmodel import Field, SQLModel


class WorkflowCall(SQLModel, table=True):
    """Whoever saved, published or started the version had the role of an executor on the workflow."""

    __tablename__ = cast("Any", "workflow_call")
    __table_args__ = (
        ForeignKeyConstraint(
            ["tenant_id", "version_id"],
            ["workflow_version.tenant_id", "workflow_version.id"],
            name="workflow_call_version_fkey",
            ondelete="CASCADE",
        ),
    )

    tenant_id: UUID = Field(primary_key=True)
    version_id: UUID = Field(primary_key=True)
    workflow_id: UUID = Field(primary_key=True)
