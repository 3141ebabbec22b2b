"""Bodies of credentials. Written by docs/generate.py from the OpenAPI document: change the API, not this file."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from structforge.client.shapes import ReplyModel


class WorkflowUseReply(ReplyModel):
    id: UUID
    name: str
    version: int
    published: bool


class UsesReply(ReplyModel):
    """Who names a credential: published and latest versions of workflows, and AI models."""

    workflows: list[WorkflowUseReply]
    ai_models: list[str]


class CredentialReply(ReplyModel):
    """A credential, without its secret."""

    id: UUID
    name: str
    type: str
    description: str
    allowed_hosts: list[str]
    version: int
    owner_id: UUID | None
    for_all_members: bool
    users: list[UUID]
    created_at: datetime
    updated_at: datetime
    uses: UsesReply | None


class CredentialTypeReply(ReplyModel):
    """A type of credential."""

    type: str
    title: str
    description: str
    needs_hosts: bool
    fields: dict[str, Any]


class CredentialTypesReply(ReplyModel):
    items: list[CredentialTypeReply]
