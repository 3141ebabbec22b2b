"""Routes of auth. Written by docs/generate.py from the OpenAPI document: change the API, not this file."""

from __future__ import annotations

from structforge.client.calls import Call, call
from structforge.client.models.auth import MethodsReply, TokenReply
from structforge.client.unset import UNSET, Unset


class AuthRoutes:
    """Routes of auth."""

    @call
    def get_sign_in_methods(self) -> Call[MethodsReply]:
        """How people may sign in here."""
        return Call("GET", "/api/v1/auth/methods", MethodsReply)

    @call
    def create_token(self, email: str, password: str, *, tenant: str | Unset | None = UNSET) -> Call[TokenReply]:
        """Sign in by e-mail and password. 401 if they do not fit, 429 after too many tries."""
        return Call(
            "POST",
            "/api/v1/auth/token",
            TokenReply,
            body={"email": email, "password": password, "tenant": tenant},
        )

    @call
    def refresh_token(self, refresh_token: str) -> Call[TokenReply]:
        """The next access and refresh token. A refresh token is good once: using it again ends the login."""
        return Call("POST", "/api/v1/auth/refresh", TokenReply, body={"refresh_token": refresh_token})

    @call
    def log_out(self, refresh_token: str) -> Call[None]:
        """End a login; its access token is refused within seconds. Repeating it changes nothing."""
        return Call("POST", "/api/v1/auth/logout", type(None), body={"refresh_token": refresh_token})

    @call
    def switch_tenant(self, tenant: str) -> Call[TokenReply]:
        """Another login of the same person, in another of her tenants. This one stays as it is."""
        return Call("POST", "/api/v1/auth/switch-tenant", TokenReply, body={"tenant": tenant})

    @call
    def accept_invitation(
        self,
        token: str,
        password: str,
        *,
        display_name: str | Unset | None = UNSET,
    ) -> Call[TokenReply]:
        """Accept an invitation to a tenant, and sign in there. A new account gets the password."""
        return Call(
            "POST",
            "/api/v1/auth/invitations",
            TokenReply,
            body={"token": token, "password": password, "display_name": display_name},
        )

    @call
    def begin_oidc_login(self) -> Call[None]:
        """Send a browser to the provider of OpenID Connect. 404 if none is set up."""
        return Call("GET", "/api/v1/auth/oidc/login", type(None))

    @call
    def finish_oidc_login(
        self,
        *,
        state: str,
        code: str | None = None,
        error: str | None = None,
        structforge_sign_in: str | None = None,
    ) -> Call[TokenReply]:
        """Where the provider sends the browser back to; a login like that of `POST /auth/token`."""
        return Call(
            "GET",
            "/api/v1/auth/oidc/callback",
            TokenReply,
            params={"state": state, "code": code, "error": error},
        )
