"""The rate limit of a request on its answer, whatever the answer is: RateLimit-Limit, -Remaining and -Reset."""

from __future__ import annotations

from typing import Any

from fastapi import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.auth import Identity
from api.rate_limits import RateLimited, RateState, rate_of
from api.resources import Resources

_STATE = "rate_limit"


async def count_request(request: Request, resources: Resources, caller: Identity) -> None:
    """Count a request of a key or login, and of its tenant. Raises: RateLimited."""
    limits, settings = resources.rate_limits, resources.settings.auth
    try:
        of_key = await limits.take("key", str(caller.key_id), rate_of(settings.api_per_key))
        of_tenant = await limits.take("tenant", str(caller.tenant), rate_of(settings.api_per_tenant))
    except RateLimited as refused:
        setattr(request.state, _STATE, refused.state)
        raise
    setattr(request.state, _STATE, min(of_key, of_tenant, key=lambda state: state.remaining))


class RateLimitHeaders:
    """Writes the headers; a request that was not counted gets none."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        state: dict[str, Any] = scope.setdefault("state", {})

        async def send_with_headers(message: Message) -> None:
            counted = state.get(_STATE)
            if message["type"] == "http.response.start" and isinstance(counted, RateState):
                added = [(name.lower().encode(), value.encode()) for name, value in counted.headers().items()]
                message["headers"] = [*message.get("headers", ()), *added]
            await send(message)

        await self._app(scope, receive, send_with_headers)
