"""Bodies of the routes of API keys."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field

from api.schemas import Reply, Request
from api.times import Time

Scope = Annotated[str, Field(max_length=100)]


class KeyRequest(Request):
    """A new key. It acts for the person who makes it, or for nobody, as keys of machines do."""

    name: str = Field(min_length=1, max_length=200)
    scopes: list[Scope] = Field(
        min_length=1, max_length=100, description="`resource:action`, `resource:*`, or `*` for all that you may do"
    )
    expires_at: Time | None = Field(default=None, description="null: never")
    belongs_to: Literal["me", "nobody"] | None = Field(
        default=None, description="By default you, or nobody if you are a key of nobody; nobody needs an administrator"
    )


class KeyReply(Reply):
    """An API key without its secret. Times are UTC."""

    id: UUID
    name: str
    hint: str = Field(description="How the secret begins")
    scopes: list[str]
    user_id: UUID | None = Field(description="The person it acts for")
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None = Field(description="To the minute")


class NewKeyReply(KeyReply):
    """A key with its secret, which is shown here alone."""

    key: str


class ScopeReply(Reply):
    """What a key may be allowed."""

    scope: str
    administrators_only: bool = Field(description="Keys of members who are no administrators gain nothing by it")
