"""The class of routes that people's own services call: bodies come in any type, and may be compressed."""

from __future__ import annotations

from fastapi import Request, Response
from fastapi.routing import APIRoute

from api.access import authorise_early
from api.guarded_route import GuardedRoute, Handler


class HookRoute(GuardedRoute):
    """Refuses whom it must before the body is read, as every route; what types of bodies it takes, the endpoint says.

    How large a body may be as it comes, `BodyLimit` holds here too.
    """

    def get_route_handler(self) -> Handler:
        handle = APIRoute.get_route_handler(self)

        async def guarded(request: Request) -> Response:
            await authorise_early(request)
            return await handle(request)

        return guarded
