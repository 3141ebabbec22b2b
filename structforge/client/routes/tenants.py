"""Routes of tenants. Written by docs/generate.py from the OpenAPI document: change the API, not this file."""

from __future__ import annotations

from structforge.client.calls import Call, call, key, listing
from structforge.client.models.tenants import InviteRequest, NewTenantReply, TenantRecord
from structforge.client.shapes import Page
from structforge.client.unset import UNSET, Unset


class TenantsRoutes:
    """Routes of tenants."""

    @listing
    def list_tenants(self, *, cursor: str | None = None, limit: int | None = None) -> Call[Page[TenantRecord]]:
        """Every tenant, newest first. For administrators of the installation."""
        return Call("GET", "/api/v1/tenants", Page[TenantRecord], params={"cursor": cursor, "limit": limit})

    @call
    def create_tenant(
        self,
        name: str,
        *,
        administrator: InviteRequest | Unset | None = UNSET,
        idempotency_key: str | None = None,
    ) -> Call[NewTenantReply]:
        """Make a tenant and invite its administrator. For administrators of the installation. 409 if the name is
        taken.
        """
        return Call(
            "POST",
            "/api/v1/tenants",
            NewTenantReply,
            headers={"Idempotency-Key": key(idempotency_key)},
            body={"name": name, "administrator": administrator},
        )

    @call
    def get_tenant(self) -> Call[TenantRecord]:
        """The caller's own tenant."""
        return Call("GET", "/api/v1/tenant", TenantRecord)

    @call
    def rename_tenant(self, name: str) -> Call[TenantRecord]:
        """Name the caller's own tenant anew. 409 if the name is taken."""
        return Call("PATCH", "/api/v1/tenant", TenantRecord, body={"name": name})
