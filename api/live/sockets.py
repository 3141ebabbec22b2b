"""The same streams by WebSocket.

Whoever opens one shows an API key or an access token in a header or, as browsers cannot, in the first message:
`{"token": "...", "last_event_id": "..."}`. Never in the URL, which proxies write into their logs.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Literal, cast
from urllib.parse import urlsplit

import orjson
from fastapi import APIRouter, FastAPI, Request
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.routing import BaseRoute, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from api.auth import Identity
from api.errors import problem, status_of
from api.live.access import Shown, checks, let_in, place_of
from api.live.feed import Feed
from api.live.response import SEND_WITHIN_S
from api.live.schemas import EndMessage
from api.live.service import LONGEST_S, open_feed
from api.permissions import Permission, check_declared, demand_of, requires
from api.rate_limit_headers import count_request
from api.resources import Resources
from api.route_access import uuid_of
from api.workflow_access import sight_of
from engine.errors import AccessDenied, Issue, StructForgeError, Unauthenticated, ValidationFailed
from models.change_cursor import MAX_CURSOR_CHARS
from models.repositories.live import Watched

FIRST_MESSAGE_WITHIN_S = 10.0
MAX_MESSAGE_BYTES = 32_768
REFUSED = 4000  # a refusal closes with this and the HTTP status: 4401, 4403, 4404, 4422, 4429, 4503
_CLOSED: dict[str, int] = {"finished": 1000, "time": 1000, "access": 4403, "stopping": 1012}
_LATER = 1013
_SECRETS = frozenset({"token", "share", "key", "api_key", "access_token", "authorization"})


class Query(BaseModel):
    """What may stand in the URL."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    workflow_id: str | None = None
    level: Literal["debug", "info", "warning", "error"] | None = None
    nodes: bool = True
    wait_s: float = Field(default=LONGEST_S, ge=0, le=LONGEST_S)
    last_event_id: str | None = Field(default=None, max_length=MAX_CURSOR_CHARS)


class First(BaseModel):
    """The first message of whoever sends no header."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    token: str | None = Field(default=None, max_length=16_000)
    share_token: str | None = Field(default=None, max_length=200)
    last_event_id: str | None = Field(default=None, max_length=MAX_CURSOR_CHARS)


@dataclass(frozen=True, slots=True)
class _Opened:
    feed: Feed
    leave: Callable[[], None]


@requires(Permission.EXECUTION_READ)
async def watch_execution(websocket: WebSocket) -> None:
    """What happens in an execution, from its beginning, to its end."""
    await _serve(websocket, watch_execution)


@requires(Permission.EXECUTION_READ, open_to_links=True)
async def watch_tenant(websocket: WebSocket) -> None:
    """What happens in all executions that the caller may see, from now on."""
    await _serve(websocket, watch_tenant)


ROUTES = (
    WebSocketRoute("/executions/{execution_id}/ws", watch_execution),
    WebSocketRoute("/events/ws", watch_tenant),
)


def add_sockets(app: FastAPI, prefix: str) -> None:
    """Raises: ConfigurationError if one declares no permission."""
    routes: list[BaseRoute] = [WebSocketRoute(prefix + route.path, route.endpoint) for route in ROUTES]
    check_declared([APIRouter(routes=routes)])
    app.router.routes.extend(routes)


async def _serve(websocket: WebSocket, endpoint: Callable[[WebSocket], Awaitable[None]]) -> None:
    resources = cast("Resources", websocket.app.state.resources)
    try:
        opened = await _open(websocket, resources, endpoint)
    except StructForgeError as refused:
        await _refuse(websocket, refused)
        return
    except (WebSocketDisconnect, TimeoutError):
        await _close(websocket, REFUSED + 408)
        return
    try:
        await _tell(websocket, opened.feed)
    finally:
        opened.leave()


async def _open(
    websocket: WebSocket, resources: Resources, endpoint: Callable[[WebSocket], Awaitable[None]]
) -> _Opened:
    _check_origin(websocket, resources.settings.live.allowed_origins)
    query = _query(websocket)
    shown, last_id = Shown.of_headers(websocket.headers), query.last_event_id
    if not shown:
        await websocket.accept()
        first = await _first(websocket)
        shown, last_id = Shown(first.token, first.share_token), first.last_event_id or last_id
    path = {name: str(value) for name, value in websocket.path_params.items()}
    demand = demand_of(endpoint)
    caller = await let_in(resources, shown, demand, path)
    await count_request(cast("Request", websocket), resources, caller)  # it needs the state of a connection alone
    watched = _watched(caller, path, query)
    feed = await open_feed(
        resources, caller.tenant, watched, last_id, checks(resources, shown, demand, path), query.wait_s
    )
    place = place_of(resources, caller)
    try:
        if shown and websocket.application_state.name == "CONNECTING":
            await websocket.accept()
    except BaseException:
        place.leave()
        raise
    return _Opened(feed, place.leave)


def _watched(caller: Identity, path: dict[str, str], query: Query) -> Watched:
    execution_id = uuid_of("execution_id", path["execution_id"]) if "execution_id" in path else None
    workflow_id = None if query.workflow_id is None else uuid_of("workflow_id", query.workflow_id)
    return Watched(execution_id, workflow_id, sight_of(caller), query.nodes, query.level)


async def _tell(websocket: WebSocket, feed: Feed) -> None:
    """Send messages until the stream ends or the client is gone."""
    gone = asyncio.create_task(_until_gone(websocket))
    telling = asyncio.create_task(_send_all(websocket, feed))
    try:
        await asyncio.wait((gone, telling), return_when=asyncio.FIRST_COMPLETED)
        if telling.done():
            await _close(websocket, telling.result())
    finally:
        for task in (gone, telling):
            task.cancel()
        await asyncio.gather(gone, telling, return_exceptions=True)


async def _send_all(websocket: WebSocket, feed: Feed) -> int:
    """The code to close with."""
    messages = feed.messages()
    try:
        async for told in messages:
            if told is None:
                continue  # the server's own pings are the signs of life
            async with asyncio.timeout(SEND_WITHIN_S):
                await websocket.send_text(orjson.dumps(told.as_frame()).decode())
            if isinstance(told.data, EndMessage):
                return _CLOSED.get(told.data.reason, _LATER)
    except TimeoutError:
        return _LATER
    except (WebSocketDisconnect, RuntimeError, OSError):
        return 1006  # gone in the middle of a message
    finally:
        await messages.aclose()
    return 1000


async def _until_gone(websocket: WebSocket) -> None:
    """What a client says after the beginning is not listened to."""
    while (await websocket.receive())["type"] != "websocket.disconnect":
        pass


async def _first(websocket: WebSocket) -> First:
    async with asyncio.timeout(FIRST_MESSAGE_WITHIN_S):
        text = await websocket.receive_text()
    try:
        if len(text) > MAX_MESSAGE_BYTES:
            raise ValueError("too long")
        return First.model_validate(orjson.loads(text))
    except (ValueError, ValidationError):
        raise Unauthenticated('the first message is {"token": "..."}, unless a header carries it') from None


def _query(websocket: WebSocket) -> Query:
    given = dict(websocket.query_params)
    if _SECRETS.intersection(name.lower() for name in given):
        issue = Issue("UNKNOWN_KEY", "query", "no secret in a URL: send a header, or the first message")
        raise ValidationFailed([issue], "the request is not valid")
    try:
        return Query.model_validate(given)
    except ValidationError as error:
        found = error.errors(include_input=False, include_url=False)
        issues = [Issue("INVALID_VALUE", f"query.{'.'.join(map(str, one['loc']))}", one["msg"]) for one in found]
        raise ValidationFailed(issues, "the request is not valid") from None


def _check_origin(websocket: WebSocket, allowed: list[str]) -> None:
    """A page of another host must not use what a visitor of it has; programs send no Origin."""
    origin = websocket.headers.get("origin")
    if origin is None or origin in allowed:
        return
    if urlsplit(origin).netloc.lower() != websocket.headers.get("host", "").lower():
        raise AccessDenied("pages of this origin may not open a WebSocket here: STRUCTFORGE_LIVE__ALLOWED_ORIGINS")


async def _refuse(websocket: WebSocket, refused: StructForgeError) -> None:
    """As an HTTP answer if the WebSocket is not open yet, else as a last message and a code."""
    status = status_of(refused)
    with contextlib.suppress(RuntimeError, OSError):
        if websocket.application_state.name != "CONNECTING":
            data: dict[str, Any] = {"code": refused.code, "detail": refused.message, "status": status}
            await websocket.send_text(orjson.dumps({"id": None, "event": "error", "data": data}).decode())
            await websocket.close(REFUSED + status, refused.code)
        elif "websocket.http.response" in websocket.scope.get("extensions", {}):
            issues = refused.issues if isinstance(refused, ValidationFailed) else None
            details = None if issues else refused.details
            await websocket.send_denial_response(
                problem(status, refused.code, refused.message, issues=issues, details=details)
            )
        else:
            await websocket.close(REFUSED + status, refused.code)


async def _close(websocket: WebSocket, code: int) -> None:
    with contextlib.suppress(RuntimeError, OSError):
        await websocket.close(code)
