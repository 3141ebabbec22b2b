"""Routes of me. Written by docs/generate.py from the OpenAPI document: change the API, not this file."""

from __future__ import annotations

from structforge.client.calls import Call, Id, call, key, listing, part
from structforge.client.models.me import MeReply, SessionReply
from structforge.client.models.shared import TenantReply
from structforge.client.shapes import Page


class MeRoutes:
    """Routes of me."""

    @call
    def get_me(self) -> Call[MeReply]:
        """The caller's tenant, its API key or login, and the person whose it is."""
        return Call("GET", "/api/v1/me", MeReply)

    @call
    def change_me(self, display_name: str) -> Call[MeReply]:
        """Change the name that others see. For people who have signed in."""
        return Call("PATCH", "/api/v1/me", MeReply, body={"display_name": display_name})

    @call
    def change_password(
        self,
        old_password: str,
        new_password: str,
        *,
        idempotency_key: str | None = None,
    ) -> Call[None]:
        """Set another password; all other logins end. 401 if the old one is wrong."""
        return Call(
            "POST",
            "/api/v1/me/password",
            type(None),
            headers={"Idempotency-Key": key(idempotency_key)},
            body={"old_password": old_password, "new_password": new_password},
        )

    @call
    def change_email(self, email: str, password: str, *, idempotency_key: str | None = None) -> Call[MeReply]:
        """Give the account another address; all other logins end. 401 if the password is wrong, 409 if it is taken."""
        return Call(
            "POST",
            "/api/v1/me/email",
            MeReply,
            headers={"Idempotency-Key": key(idempotency_key)},
            body={"email": email, "password": password},
        )

    @call
    def deactivate_me(self, password: str, *, idempotency_key: str | None = None) -> Call[None]:
        """Shut the own account: logins end and keys are refused, in every tenant. 409 for a last administrator.
        Workflows, schedules and credentials that the person made stay and go on.
        """
        return Call(
            "POST",
            "/api/v1/me/deactivate",
            type(None),
            headers={"Idempotency-Key": key(idempotency_key)},
            body={"password": password},
        )

    @listing
    def list_my_tenants(self) -> Call[Page[TenantReply]]:
        """The tenants that the person belongs to, all on one page."""
        return Call("GET", "/api/v1/me/tenants", Page[TenantReply])

    @listing
    def list_my_sessions(self) -> Call[Page[SessionReply]]:
        """The person's logins in all tenants, newest first, all on one page."""
        return Call("GET", "/api/v1/me/sessions", Page[SessionReply])

    @call
    def end_my_session(self, session_id: Id) -> Call[None]:
        """End a login; its access token is refused within seconds."""
        return Call("DELETE", f"/api/v1/me/sessions/{part(session_id)}", type(None))
