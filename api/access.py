"""Authentication and authorisation of each request, before its endpoint runs."""

from __future__ import annotations

from typing import Annotated, cast

from fastapi import Depends, Request, Security
from fastapi.security import APIKeyHeader, HTTPAuthorizationCredentials, HTTPBearer

from api.auth import Identity
from api.permissions import Permission, check_granted, permissions_of
from api.resources import Held
from engine.errors import AccessDenied

_bearer = HTTPBearer(auto_error=False, description="An API key, sf_...")
_header = APIKeyHeader(name="X-API-Key", auto_error=False, description="An API key, sf_...")


async def authorise(
    request: Request,
    resources: Held,
    bearer: Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)],
    header: Annotated[str | None, Security(_header)],
) -> None:
    """Let the request in if its caller may call this endpoint; every route depends on this.

    Raises: Unauthenticated, AccessDenied, SystemFault.
    """
    permissions = permissions_of(request.scope.get("endpoint"))
    if permissions == (Permission.PUBLIC,):
        return
    identity = await resources.sign_in.identify(bearer.credentials if bearer else header)
    if not permissions:
        raise AccessDenied("this route declares no permission")
    check_granted(permissions, identity.scopes)
    request.state.identity = identity


def identity_of(request: Request) -> Identity:
    """The caller that `authorise` let in."""
    return cast("Identity", request.state.identity)


Caller = Annotated[Identity, Depends(identity_of)]
