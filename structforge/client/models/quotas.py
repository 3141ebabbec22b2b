"""Bodies of quotas. Written by docs/generate.py from the OpenAPI document: change the API, not this file."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from structforge.client.shapes import ReplyModel


class QuotaReply(ReplyModel):
    """A limit. `person` or `workflow_id` is null where it holds for each that has no limit of its own."""

    kind: str
    scope: str
    person: str | None
    workflow_id: UUID | None
    period: str | None
    limit: int
    updated_at: datetime


class QuotaUsage(ReplyModel):
    """What one subject has used of a limit. A limit for each person or workflow shows those that use of it."""

    kind: str
    scope: str
    person: str | None
    workflow_id: UUID | None
    period: str | None
    limit: int
    used: int
    frees_at: datetime | None


class Quotas(ReplyModel):
    """All limits of a tenant."""

    items: list[QuotaReply]


class Usages(ReplyModel):
    """What is used, now."""

    items: list[QuotaUsage]
