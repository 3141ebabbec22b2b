"""Bodies of audit. Written by docs/generate.py from the OpenAPI document: change the API, not this file."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from structforge.client.shapes import ReplyModel


class AuditEntryReply(ReplyModel):
    """A change that was made, or a try that was refused."""

    id: UUID
    at: datetime
    actor_kind: str
    user_id: UUID | None
    key_id: UUID | None
    actor_name: str
    action: str
    target_kind: str
    target_id: str
    outcome: str
    reason: str
    request_id: str
    address: str
    facts: dict[str, Any]
