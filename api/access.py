"""Authentication and authorisation of each request, before its endpoint runs."""

from __future__ import annotations

from typing import Annotated, cast

from fastapi import Depends, Request, Security
from fastapi.security import APIKeyHeader, HTTPAuthorizationCredentials, HTTPBearer

from api.audit import note_caller, note_reason
from api.auth import Identity
from api.permissions import Permission, demand_of
from api.rate_limit_headers import count_request
from api.resources import Held, resources_of
from api.route_access import check_route
from api.visitors import visitor_of
from engine.errors import AccessDenied, Unauthenticated

_IDENTITY = "identity"
_bearer = HTTPBearer(auto_error=False, description="An API key, sf_..., or an access token")
_header = APIKeyHeader(name="X-API-Key", auto_error=False, description="An API key, sf_...")
_share = APIKeyHeader(
    name="X-Share-Token", scheme_name="ShareToken", auto_error=False, description="The token of a sharing link, sfs_..."
)


async def authorise(
    request: Request,
    resources: Held,
    bearer: Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)],
    header: Annotated[str | None, Security(_header)],
    share: Annotated[str | None, Security(_share)],
) -> None:
    """Let the request in if its caller may call this endpoint; every route depends on this.

    `GuardedRoute` has it done before the body is read; then there is nothing left to do.
    Raises: Unauthenticated; AccessDenied; NotFound if the caller may not see what the path names; SystemFault.
    """
    demand = demand_of(request.scope.get("endpoint"))
    if hasattr(request.state, _IDENTITY):
        return
    if demand.permissions == (Permission.PUBLIC,):
        return
    try:
        secret = bearer.credentials if bearer else header
        token = share or (request.query_params.get("share") if request.method == "GET" else None)
        identity = await (visitor_of(resources, token) if token and not secret else resources.sign_in.identify(secret))
        note_caller(resources, identity)
        await count_request(request, resources, identity)
        await check_route(resources, identity, demand, request.path_params)
    except (AccessDenied, Unauthenticated) as refused:
        note_reason(refused.message)
        raise
    setattr(request.state, _IDENTITY, identity)


async def authorise_early(request: Request) -> None:
    """The same before anything of the body is read. Raises: as `authorise`."""
    await authorise(
        request, resources_of(request), await _bearer(request), await _header(request), await _share(request)
    )


def identity_of(request: Request) -> Identity:
    """The caller that `authorise` let in."""
    return cast("Identity", getattr(request.state, _IDENTITY))


Caller = Annotated[Identity, Depends(identity_of)]
