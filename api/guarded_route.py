"""The class of every route: the caller is known before the body is read; a change of definitions is one transaction."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.routing import APIRoute

from api.access import authorise_early, identity_of
from api.audit import audit_unless_noted, note_nothing
from api.audit_trail import SAFE_METHODS, change_of
from api.body_limit import check_announced
from api.idempotency import keyed
from api.permissions import Permission, permissions_of
from api.resources import resources_of

Handler = Callable[[Request], Coroutine[Any, Any, Response]]
# What these change are rows of PostgreSQL alone. Where an endpoint speaks to Temporal, which must not hear of rows that
# are not committed, it has another permission beside them.
DEFINITIONS = frozenset(
    {
        Permission.ME_WRITE,
        Permission.API_KEY_WRITE,
        Permission.USER_WRITE,
        Permission.TENANT_WRITE,
        Permission.WORKFLOW_WRITE,
        Permission.AI_MODEL_WRITE,
        Permission.BUDGET_WRITE,
        Permission.SCHEDULE_WRITE,
        Permission.QUOTA_WRITE,
        Permission.GRANT_WRITE,
        Permission.SHARE_WRITE,
        Permission.CREDENTIAL_WRITE,
    }
)
READS = frozenset({Permission.WORKFLOW_READ})


class GuardedRoute(APIRoute):
    """A route that refuses whom it must before it reads what they send."""

    def get_route_handler(self) -> Handler:
        handle = super().get_route_handler()
        defines = defines_by(self.endpoint)

        async def guarded(request: Request) -> Response:
            await authorise_early(request)
            check_announced(request)
            if defines and request.method not in SAFE_METHODS:
                return await _define(request, handle)
            return await handle(request)

        return guarded


def guard(routers: Sequence[APIRouter]) -> None:
    """Make the routes of these routers guarded ones: here for all, so that none can be written without it."""
    for router in routers:
        for route in router.routes:
            if type(route) is APIRoute:
                route.__class__ = GuardedRoute


def defines_by(endpoint: object) -> bool:
    """Whether an endpoint changes definitions and nothing else, by what it asks of its caller."""
    permissions = frozenset(permissions_of(endpoint))
    return not permissions.isdisjoint(DEFINITIONS) and permissions <= DEFINITIONS | READS


async def _define(request: Request, handle: Handler) -> Response:
    """The change, its audit entry and the reply that is kept under a key: all of them, or none."""
    resources, caller = resources_of(request), identity_of(request)
    await request.body()  # it may come slowly, and must not keep a connection waiting
    once = await keyed(request, caller)
    async with resources.database.joined():
        if once is not None and (known := await once.claim(resources.database)) is not None:
            note_nothing()
            return known
        response = await handle(request)
        await audit_unless_noted(resources, caller, *change_of(request.scope, response.headers.get("location")))
        if once is not None:
            await once.keep(resources.database, response)
    return response
