"""Bodies of the workflow routes."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import Field

from api.schemas import IssueReply, Reply, Request


class DocumentRequest(Request):
    """A document to validate or to save."""

    document: dict[str, Any] = Field(description="The workflow document")
    note: str = Field(default="", max_length=2000, description="What the version changes")


class WorkflowReply(Reply):
    """A workflow without its document."""

    id: UUID
    name: str
    description: str
    owner: str
    status: str = Field(description="active or archived")
    latest_version: int
    published_version: int | None
    created_at: datetime
    updated_at: datetime


class WorkflowDetail(WorkflowReply):
    """A workflow with the document of its latest version, and the warnings that saving it gave."""

    version_id: UUID
    version: int
    document: dict[str, Any]
    warnings: list[IssueReply] = Field(default_factory=list[IssueReply])


class Validation(Reply):
    """`valid` says that no issue is an error."""

    valid: bool
    issues: list[IssueReply]
