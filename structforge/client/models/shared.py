"""Bodies of several resources. Written by docs/generate.py from the OpenAPI document: change the API, not this file."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from structforge.client.shapes import ReplyModel


class InvitationReply(ReplyModel):
    """A person who is invited. `invitation` is shown here alone: hand it to her, and to nobody else."""

    id: UUID
    email: str
    display_name: str
    role: str
    created_at: datetime
    accepted_at: datetime | None
    invitation_expires_at: datetime | None
    last_login_at: datetime | None
    disabled: bool
    invitation: str


class IssueReply(ReplyModel):
    """One thing that is wrong, or a warning: what, where, and how to mend it."""

    code: str
    path: str
    message: str
    hint: str
    severity: str


class PersonReply(ReplyModel):
    id: UUID
    email: str
    display_name: str


class TenantReply(ReplyModel):
    """A tenant that the person belongs to."""

    id: UUID
    name: str
    role: str


class UsageSums(ReplyModel):
    """What AI calls used. `cost` is null if no model of theirs has a price."""

    calls: int
    failed_calls: int
    input_tokens: int
    output_tokens: int
    images: int
    cost: float | None


class WorkflowDetail(ReplyModel):
    """A workflow with the document of its latest version, and what saving it warned of."""

    id: UUID
    name: str
    description: str
    owner: str
    status: str
    latest_version: int
    published_version: int | None
    folder_id: UUID | None
    tags: list[str]
    created_at: datetime
    updated_at: datetime
    version_id: UUID
    version: int
    valid: bool
    document: dict[str, Any]
    warnings: list[IssueReply]


class WorkflowReply(ReplyModel):
    """A workflow without its document."""

    id: UUID
    name: str
    description: str
    owner: str
    status: str
    latest_version: int
    published_version: int | None
    folder_id: UUID | None
    tags: list[str]
    created_at: datetime
    updated_at: datetime
