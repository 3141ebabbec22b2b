"""Routes of live streams as server-sent events."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Annotated, Any, Literal
from uuid import UUID

import orjson
from fastapi import APIRouter, Header, Query, Request
from fastapi.sse import format_sse_event
from starlette.responses import Response

from api.access import Caller
from api.auth import Identity
from api.live.access import Shown, checks, place_of
from api.live.feed import Feed
from api.live.messages import Told
from api.live.response import LiveResponse
from api.live.service import LONGEST_S, is_over, open_feed
from api.permissions import Permission, demand_of, requires
from api.resources import Held, Resources
from api.workflow_access import sight_of
from models.change_cursor import MAX_CURSOR_CHARS
from models.repositories.live import Watched

router = APIRouter(tags=["live"])

Lines = Annotated[
    Literal["debug", "info", "warning", "error"] | None,
    Query(description="The lowest level of log lines that are told too; none without it"),
]
Nodes = Annotated[bool, Query(description="Tell of nodes, not of executions alone")]
Lasts = Annotated[
    float, Query(ge=0, le=LONGEST_S, description="Seconds after which the stream ends; come back with the last id")
]
LastId = Annotated[
    str | None, Header(alias="Last-Event-ID", max_length=MAX_CURSOR_CHARS, description="Go on behind this message")
]
_STREAM: dict[int | str, dict[str, Any]] = {200: {"content": {"text/event-stream": {}}}}
_ENDS: dict[int | str, dict[str, Any]] = {204: {"description": "All has been told: the execution is over"}}


@router.get(
    "/executions/{execution_id}/events", status_code=200, response_class=LiveResponse, responses=_STREAM | _ENDS
)
@requires(Permission.EXECUTION_READ)
async def watch_execution(
    execution_id: UUID,
    request: Request,
    resources: Held,
    caller: Caller,
    level: Lines = None,
    nodes: Nodes = True,
    wait_s: Lasts = LONGEST_S,
    last_event_id: LastId = None,
) -> Response:
    """What happens in an execution, from its beginning, to its end."""
    watched = Watched(execution_id, nodes=nodes, lines=level)
    if last_event_id and await is_over(resources, caller.tenant, execution_id, watched, last_event_id):
        return Response(status_code=204)
    return await _stream(request, resources, caller, watched, last_event_id, wait_s)


@router.get("/events/stream", status_code=200, response_class=LiveResponse, responses=_STREAM)
@requires(Permission.EXECUTION_READ, open_to_links=True)
async def watch_tenant(
    request: Request,
    resources: Held,
    caller: Caller,
    workflow_id: Annotated[UUID | None, Query(description="Only executions of this workflow")] = None,
    level: Lines = None,
    nodes: Nodes = True,
    wait_s: Lasts = LONGEST_S,
    last_event_id: LastId = None,
) -> Response:
    """What happens in all executions that the caller may see, from now on."""
    watched = Watched(workflow_id=workflow_id, sight=sight_of(caller), nodes=nodes, lines=level)
    return await _stream(request, resources, caller, watched, last_event_id, wait_s)


async def _stream(
    request: Request, resources: Resources, caller: Identity, watched: Watched, last_id: str | None, lasts_s: float
) -> Response:
    shown = Shown.of_headers(request.headers, request.query_params.get("share"))
    path = {name: str(value) for name, value in request.path_params.items()}
    check = checks(resources, shown, demand_of(request.scope["endpoint"]), path)
    feed = await open_feed(resources, caller.tenant, watched, last_id, check, lasts_s)
    place = place_of(resources, caller)
    return LiveResponse(_events(feed), place.leave)


async def _events(feed: Feed) -> AsyncGenerator[bytes]:
    async for told in feed.messages():
        yield format_sse_event(comment="still there") if told is None else _framed(told)


def _framed(told: Told) -> bytes:
    data = orjson.dumps(told.data.model_dump(mode="json")).decode()
    return format_sse_event(data_str=data, event=told.event, id=told.id)
