"""Bodies of the template routes."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import Field, StringConstraints

from api.schemas import Reply, Request

Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]


class TemplateRequest(Request):
    """A template from a workflow's document; the latest version if none is named."""

    workflow_id: UUID
    version: int | None = Field(default=None, ge=1, lt=2**31)
    name: Name | None = Field(default=None, description="That of the workflow if left out")
    description: str = Field(default="", max_length=2000)


class UseRequest(Request):
    """The workflow to make of a template."""

    name: Name = Field(description="Name of the new workflow")
    folder_id: UUID | None = None
    publish: bool = Field(default=False, description="false makes a draft, which starts nothing")


class TemplateReply(Reply):
    """A template without its document."""

    id: str
    name: str
    description: str
    built_in: bool
    author: str = ""
    workflow_id: UUID | None = Field(default=None, description="Where the tenant's own template came from")
    created_at: datetime | None = None


class TemplateDetail(TemplateReply):
    """A template with its document."""

    document: dict[str, Any]
