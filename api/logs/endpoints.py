"""Routes of execution logs: read in pages, waited for, or followed as a stream."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Header, Query
from fastapi.sse import EventSourceResponse, format_sse_event
from starlette.responses import Response

from api.access import Caller
from api.executions.queries import Moment
from api.logs import service
from api.logs.schemas import LogPage
from api.permissions import Permission, requires
from api.resources import Held
from models.jsonb import plain_text
from models.repositories.executions import Executions
from models.repositories.logs import LogFilter

router = APIRouter(tags=["logs"])
MAX_SEQ = 2**63 - 1
Seq = Annotated[int, Query(ge=0, le=MAX_SEQ, description="`next` of the page before, 0 for the beginning")]
_STREAM: dict[int | str, dict[str, Any]] = {200: {"content": {"text/event-stream": {}}}}


@router.get("/executions/{execution_id}/logs", response_model=LogPage, responses=_STREAM)
@requires(Permission.EXECUTION_READ)
async def list_logs(
    execution_id: UUID,
    resources: Held,
    caller: Caller,
    level: Annotated[
        Literal["debug", "info", "warning", "error"], Query(description="The lowest level shown")
    ] = "debug",
    node: Annotated[str | None, Query(max_length=2000, description="Path of a node")] = None,
    below: Annotated[bool, Query(description="With `node`: what is in its body too")] = False,
    attempt: Annotated[int | None, Query(ge=1, le=2**31 - 1)] = None,
    text: Annotated[str | None, Query(max_length=500, description="Part of the message, in any case")] = None,
    at_from: Annotated[Moment | None, Query(alias="from", description="With time zone; included")] = None,
    at_before: Annotated[Moment | None, Query(alias="to", description="With time zone; not included")] = None,
    after: Seq = 0,
    limit: Annotated[int, Query(ge=1, le=2000, description="Lines a page")] = 200,
    wait_s: Annotated[float, Query(ge=0, le=30, description="Wait so long for a line, if there is none")] = 0,
    follow: Annotated[
        bool, Query(description="A stream of events `line`, and `end` once the execution is over")
    ] = False,
    last_event_id: Annotated[str | None, Header(max_length=20, description="A stream goes on behind this line")] = None,
) -> LogPage | Response:
    """Lines of an execution's log, in the order they were written."""
    narrowed = LogFilter(level, plain_text(node), below, None, attempt, plain_text(text), at_from, at_before)
    if not follow:
        return await service.awaited_page(
            resources, caller.tenant, execution_id, narrowed, after=after, limit=limit, wait_s=wait_s
        )
    await Executions(resources.database).get(caller.tenant, execution_id)  # a stream that has begun cannot answer 404
    begin = max(after, _seq(last_event_id))
    pages = service.followed(resources, caller.tenant, execution_id, narrowed, after=begin, limit=limit)
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return EventSourceResponse(_events(pages), headers=headers, media_type="text/event-stream")


async def _events(pages: AsyncGenerator[LogPage | None]) -> AsyncGenerator[bytes]:
    async for page in pages:
        if page is None:
            yield format_sse_event(comment="nothing new")
            continue
        for line in page.items:
            yield format_sse_event(data_str=line.model_dump_json(), event="line", id=str(line.seq))
        if page.ended:
            yield format_sse_event(data_str="{}", event="end")


def _seq(text: str | None) -> int:
    """The number of the last line that a client has seen; what is none is 0."""
    return int(text) if text is not None and text.isascii() and text.isdigit() and int(text) <= MAX_SEQ else 0
