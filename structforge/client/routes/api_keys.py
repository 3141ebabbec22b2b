"""Routes of api keys. Written by docs/generate.py from the OpenAPI document: change the API, not this file."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from structforge.client.calls import Call, Id, call, key, listing, part
from structforge.client.models.api_keys import KeyReply, NewKeyReply, ScopeReply
from structforge.client.shapes import Page
from structforge.client.unset import UNSET, Unset


class ApiKeysRoutes:
    """Routes of api keys."""

    @listing
    def list_scopes(self) -> Call[Page[ScopeReply]]:
        """What keys may be allowed, all on one page."""
        return Call("GET", "/api/v1/api-keys/scopes", Page[ScopeReply])

    @listing
    def list_api_keys(
        self,
        *,
        user_id: Id | None = None,
        cursor: str | None = None,
        limit: int | None = None,
    ) -> Call[Page[KeyReply]]:
        """Your keys, newest first; for administrators those of all, or of one person."""
        return Call(
            "GET",
            "/api/v1/api-keys",
            Page[KeyReply],
            params={"user_id": user_id, "cursor": cursor, "limit": limit},
        )

    @call
    def create_api_key(
        self,
        name: str,
        scopes: list[str],
        *,
        expires_at: datetime | Unset | None = UNSET,
        belongs_to: Literal["me", "nobody"] | Unset | None = UNSET,
        idempotency_key: str | None = None,
    ) -> Call[NewKeyReply]:
        """Make a key; its secret is shown in this answer alone. 403 if it could do more than you."""
        return Call(
            "POST",
            "/api/v1/api-keys",
            NewKeyReply,
            headers={"Idempotency-Key": key(idempotency_key)},
            body={"name": name, "scopes": scopes, "expires_at": expires_at, "belongs_to": belongs_to},
        )

    @call
    def get_api_key(self, key_id: Id) -> Call[KeyReply]:
        """One key, without its secret."""
        return Call("GET", f"/api/v1/api-keys/{part(key_id)}", KeyReply)

    @call
    def revoke_api_key(self, key_id: Id) -> Call[None]:
        """Remove a key; it is refused within seconds."""
        return Call("DELETE", f"/api/v1/api-keys/{part(key_id)}", type(None))

    @call
    def rotate_api_key(self, key_id: Id, *, idempotency_key: str | None = None) -> Call[NewKeyReply]:
        """Give a key a new secret; the old one is refused within seconds."""
        return Call(
            "POST",
            f"/api/v1/api-keys/{part(key_id)}/rotate",
            NewKeyReply,
            headers={"Idempotency-Key": key(idempotency_key)},
        )
