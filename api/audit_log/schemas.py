"""Bodies of the audit log's route."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import Field

from api.schemas import Reply


class AuditEntryReply(Reply):
    """A change that was made, or a try that was refused."""

    id: UUID
    at: datetime
    actor_kind: Literal["user", "key", "share", "nobody"] = Field(description="`key`: of no person; `share`: a link")
    user_id: UUID | None
    key_id: UUID | None = Field(description="The API key or sharing link, if there was one")
    actor_name: str
    action: str = Field(description="What was done, such as workflow.publish")
    target_kind: str
    target_id: str
    outcome: Literal["done", "refused"]
    reason: str = Field(description="Why it was refused")
    request_id: str = Field(description="X-Request-ID of the request and of its answer")
    address: str = Field(description="The client's address")
    facts: dict[str, Any]
