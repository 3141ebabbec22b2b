"""Routes by which people sign in. They need no key; each tells a stranger nothing about anyone."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlsplit

from fastapi import APIRouter, Cookie, Query, Request, Response
from fastapi.responses import RedirectResponse

from api.access import Caller
from api.permissions import Permission, requires
from api.resources import Held
from api.sign_in import by_provider, service
from api.sign_in.schemas import AcceptRequest, MethodsReply, RefreshRequest, SwitchRequest, TokenReply, TokenRequest
from engine.errors import Unauthenticated

router = APIRouter(prefix="/auth", tags=["auth"])

COOKIE = "structforge_sign_in"
COOKIE_PATH = "/api/v1/auth/oidc"


@router.get("/methods")
@requires(Permission.PUBLIC)
async def get_sign_in_methods(resources: Held) -> MethodsReply:
    """How people may sign in here."""
    return MethodsReply(password=resources.settings.auth.password_login, oidc=resources.provider is not None)


@router.post("/token")
@requires(Permission.PUBLIC)
async def create_token(body: TokenRequest, request: Request, response: Response, resources: Held) -> TokenReply:
    """Sign in by e-mail and password. 401 if they do not fit, 429 after too many tries."""
    return _unstored(response, await service.sign_in(resources, body, address_of(request)))


@router.post("/refresh")
@requires(Permission.PUBLIC)
async def refresh_token(body: RefreshRequest, response: Response, resources: Held) -> TokenReply:
    """The next access and refresh token. A refresh token is good once: using it again ends the login."""
    return _unstored(response, await service.refresh(resources, body.refresh_token.get_secret_value()))


@router.post("/logout", status_code=204)
@requires(Permission.PUBLIC)
async def log_out(body: RefreshRequest, resources: Held) -> None:
    """End a login; its access token is refused within seconds. Repeating it changes nothing."""
    await service.sign_out(resources, body.refresh_token.get_secret_value())


@router.post("/switch-tenant")
@requires(Permission.ME_READ, in_person=True)
async def switch_tenant(body: SwitchRequest, response: Response, resources: Held, caller: Caller) -> TokenReply:
    """Another login of the same person, in another of her tenants. This one stays as it is."""
    return _unstored(response, await service.switch_tenant(resources, caller, body.tenant))


@router.post("/invitations")
@requires(Permission.PUBLIC)
async def accept_invitation(body: AcceptRequest, request: Request, response: Response, resources: Held) -> TokenReply:
    """Accept an invitation to a tenant, and sign in there. A new account gets the password."""
    return _unstored(response, await service.accept(resources, body, address_of(request)))


@router.get("/oidc/login", status_code=303, response_class=RedirectResponse)
@requires(Permission.PUBLIC)
async def begin_oidc_login(resources: Held) -> RedirectResponse:
    """Send a browser to the provider of OpenID Connect. 404 if none is set up."""
    url, sealed = await by_provider.begin(resources)
    answer = RedirectResponse(url, 303)
    answer.headers["Cache-Control"] = "no-store"
    secure = urlsplit(resources.settings.auth.oidc_redirect_url or "").scheme == "https"
    answer.set_cookie(
        COOKIE,
        sealed,
        max_age=by_provider.STATE_LIFETIME_S,
        path=COOKIE_PATH,
        httponly=True,
        secure=secure,
        samesite="lax",
    )
    return answer


@router.get("/oidc/callback")
@requires(Permission.PUBLIC)
async def finish_oidc_login(
    response: Response,
    resources: Held,
    state: Annotated[str, Query(max_length=500)],
    code: Annotated[str | None, Query(max_length=4000)] = None,
    error: Annotated[str | None, Query(max_length=200)] = None,
    note: Annotated[str | None, Cookie(alias=COOKIE, max_length=4000)] = None,
) -> TokenReply:
    """Where the provider sends the browser back to; a login like that of `POST /auth/token`."""
    if code is None or note is None:
        raise Unauthenticated(f"the provider did not sign you in: {error or 'begin again'}")
    reply = await by_provider.finish(resources, code, state, note)
    response.delete_cookie(COOKIE, path=COOKIE_PATH, httponly=True)
    return _unstored(response, reply)


def address_of(request: Request) -> str:
    """The network address that a request comes from."""
    return request.client.host if request.client else ""


def _unstored(response: Response, reply: TokenReply) -> TokenReply:
    response.headers["Cache-Control"] = "no-store"
    return reply
