"""Bodies of notifications. Written by docs/generate.py from the OpenAPI document: change the API, not this file."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from structforge.client.shapes import ReplyModel, RequestModel


class NotificationReply(ReplyModel):
    """A message to one receiver. Times are UTC."""

    id: UUID
    event: str
    via: str
    target: str
    rule_id: UUID | None
    workflow_id: UUID | None
    execution_id: UUID | None
    approval_id: UUID | None
    status: str
    attempts: int
    round: int
    error: str | None
    error_code: str | None
    created_at: datetime
    updated_at: datetime
    sent_at: datetime | None


class NotificationRuleReply(ReplyModel):
    """A rule. Times are UTC."""

    id: UUID
    name: str
    on: list[str]
    workflow_id: UUID | None
    tag: str | None
    via: str
    to: list[str]
    url: str | None
    credential: str | None
    template: dict[str, Any] | None
    include_output: bool
    enabled: bool
    created_by: str
    created_at: datetime
    updated_at: datetime


class NotificationTemplate(RequestModel):
    """Words of one's own. Each is a template; what is left out is in the product's words. Names in it: event, at,
    workflow, execution, error, approval, quota, link, output.
    """

    subject: str | None = None
    text: str | None = None
    html: str | None = None
    body: Any = None
