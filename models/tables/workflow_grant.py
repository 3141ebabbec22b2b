"""Grants: roles of people on workflows."""

from __future__ import annotations

from datetime import datetime
from typing import Any, cast
from uuid import UUID

from sqlalchemy import Index
from sqlmodel import Field, SQLModel

from models.tables.columns import created, words


class WorkflowGrant(SQLModel, table=True):
    """The role of one person on one workflow; `member_id` of zeros means all members of the tenant.

    `role` is viewer, executor, editor or owner; all members together are never owners. PostgreSQL adds the maker's
    grant with the workflow itself, and removes all with it.
    """

    __tablename__ = cast("Any", "workflow_grant")
    __table_args__ = (Index("workflow_grant_member_idx", "tenant_id", "member_id", "workflow_id"),)

    tenant_id: UUID = Field(primary_key=True)
    workflow_id: UUID = Field(primary_key=True)
    member_id: UUID = Field(primary_key=True)
    role: str = words()
    granted_by: str = words(default="")
    created_at: datetime = created()
