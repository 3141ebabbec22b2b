"""Authentication and authorisation of each request, before its endpoint runs."""

from __future__ import annotations

from typing import Annotated, cast

from fastapi import Depends, Request, Security
from fastapi.security import APIKeyHeader, HTTPAuthorizationCredentials, HTTPBearer

from api.audit import note_caller, note_reason
from api.auth import Identity
from api.permissions import Permission, demand_of
from api.rate_limit_headers import count_request
from api.resources import Held
from api.route_access import check_route
from api.visitors import visitor_of
from engine.errors import AccessDenied, Unauthenticated

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

    Raises: Unauthenticated; AccessDenied; NotFound if the caller may not see what the path names; SystemFault.
    """
    demand = demand_of(request.scope.get("endpoint"))
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
    request.state.identity = identity


def identity_of(request: Request) -> Identity:
    """The caller that `authorise` let in."""
    return cast("Identity", request.state.identity)


Caller = Annotated[Identity, Depends(identity_of)]
