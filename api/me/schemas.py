"""Body of `GET /me`."""

from __future__ import annotations

from uuid import UUID

from api.schemas import Reply


class MeReply(Reply):
    """Who the caller is: a tenant, and the API key that was shown."""

    tenant_id: UUID
    key_id: UUID
    key_name: str
    scopes: list[str]
