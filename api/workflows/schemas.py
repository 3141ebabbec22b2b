"""Bodies of the workflow routes."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Field, StringConstraints

from api.schemas import IssueReply, Reply, Request
from engine.dag.diff import Change, GraphDiff

Status = Literal["draft", "active", "paused", "archived"]
Note = Annotated[str, Field(max_length=2000, description="What the version changes")]
Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]
Tags = Annotated[list[str], Field(max_length=50, description="Free text; kept in lower case, without double spaces")]


class DocumentRequest(Request):
    """A document to validate or to save."""

    document: dict[str, Any] = Field(description="The workflow document")
    note: Note = ""


class WorkflowChange(Request):
    """What is left out stays as it is. A new name or description is a new version of the document."""

    name: Name | None = None
    description: str | None = Field(default=None, max_length=20_000)
    folder_id: UUID | None = Field(default=None, description="null moves it to the top")
    tags: Tags | None = None
    note: Note = ""


class DuplicateRequest(Request):
    """`version` is the latest if left out; the name then ends in `copy`."""

    name: Name | None = None
    version: int | None = Field(default=None, ge=1, lt=2**31)
    folder_id: UUID | None = Field(default=None, description="That of the original if left out")
    note: Note = ""


class RollbackRequest(Request):
    """The version to go back to, which becomes the next version."""

    version: int = Field(ge=1, lt=2**31)
    publish: bool = True
    note: Note = ""


class WorkflowReply(Reply):
    """A workflow without its document."""

    id: UUID
    name: str
    description: str
    owner: str
    status: Status = Field(description="draft: nothing is published; paused: nothing starts; archived: put away")
    latest_version: int
    published_version: int | None
    folder_id: UUID | None = None
    tags: list[str] = Field(default_factory=list[str])
    created_at: datetime
    updated_at: datetime


class WorkflowDetail(WorkflowReply):
    """A workflow with the document of its latest version, and what saving it warned of."""

    version_id: UUID
    version: int
    valid: bool = Field(default=True, description="false: a draft with errors, which cannot be published or run")
    document: dict[str, Any]
    warnings: list[IssueReply] = Field(default_factory=list[IssueReply])


class Validation(Reply):
    """`valid` says that no issue is an error."""

    valid: bool
    issues: list[IssueReply]


class VersionReply(Reply):
    """A version without its document."""

    id: UUID
    number: int
    author: str = Field(description="The person who saved it, or the name of the key")
    note: str
    valid: bool
    digest: str = Field(description="SHA-256 of the document with sorted keys")
    published: bool
    created_at: datetime


class VersionDetail(VersionReply):
    """A version with its document."""

    document: dict[str, Any]


class DiffReply(Reply):
    """What makes version `after` of version `before`."""

    before: int
    after: int
    same: bool
    graph: GraphDiff
    handlers: GraphDiff
    sections: list[Change] = Field(description="Everything that is no graph")


class Pruned(Reply):
    """How many old versions are gone."""

    removed: int


class Imported(Reply):
    """What became, or on a dry run would become, of one document."""

    source: str = Field(description="The file, and the number of the document in it")
    name: str | None
    outcome: Literal["created", "saved", "unchanged", "conflict", "invalid", "refused"]
    saved_as: str | None = Field(default=None, description="The name that it got if its own was taken")
    workflow_id: UUID | None = None
    version: int | None = None
    issues: list[IssueReply] = Field(default_factory=list[IssueReply])


class ImportReply(Reply):
    """`stored` false: it was a dry run, or some document was invalid or in conflict, and so nothing is stored."""

    stored: bool
    dry_run: bool
    items: list[Imported]
