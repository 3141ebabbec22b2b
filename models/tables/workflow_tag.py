"""Tags of workflows, by tag: what lists are narrowed with. `workflow.tags` holds the same for reading."""

from __future__ import annotations

from typing import Any, cast
from uuid import UUID

from sqlalchemy import ForeignKeyConstraint, Index
from sqlmodel import Field, SQLModel

from models.tables.columns import words


class WorkflowTag(SQLModel, table=True):
    """One tag of one workflow; rows go with their workflow."""

    __tablename__ = cast("Any", "workflow_tag")
    __table_args__ = (
        ForeignKeyConstraint(
            ["tenant_id", "workflow_id"],
            ["workflow.tenant_id", "workflow.id"],
            name="workflow_tag_workflow_fkey",
            ondelete="CASCADE",
        ),
        Index("workflow_tag_workflow_idx", "tenant_id", "workflow_id"),
    )

    tenant_id: UUID = Field(primary_key=True)
    tag: str = words(primary_key=True)
    workflow_id: UUID = Field(primary_key=True)
