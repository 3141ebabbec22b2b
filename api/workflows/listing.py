"""Lists of workflows: what they are narrowed to, how they are sorted, and where a page begins."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, Any, Literal, get_args
from uuid import UUID

from fastapi import Query
from pydantic import BaseModel, ConfigDict

from api.auth import Identity
from api.cursors import Cursor, Limit, Position, bad_cursor, read_position, write_cursor
from api.resources import Resources
from api.schemas import Page
from api.times import LooseTime
from api.workflow_access import sight_of
from api.workflows.schemas import Status, WorkflowReply
from api.workflows.service import reply_of
from engine.errors import Issue, ValidationFailed
from models.jsonb import plain_text
from models.repositories.workflow_lists import Order, Place, WorkflowFilter, WorkflowLists

MAX_TAGS = 50
MAX_TAG_LENGTH = 64
STATUSES: tuple[str, ...] = get_args(Status)
_Text = Annotated[str | None, Query(max_length=200)]


class ListQuery(BaseModel):
    """Everything that a list of workflows can be asked for."""

    model_config = ConfigDict(frozen=True)

    search: Annotated[str | None, Query(max_length=200, description="Part of name, description or a tag")] = None
    status: Annotated[
        str | None, Query(max_length=100, description="One or several, with commas, or any; all but archived if absent")
    ] = None
    owner: _Text = None
    folder: Annotated[UUID | Literal["top"] | None, Query(description="An id, or `top` for no folder")] = None
    subfolders: Annotated[bool, Query(description="Those in folders below it too")] = False
    tag: Annotated[list[str] | None, Query(max_length=MAX_TAGS, description="Repeated for several")] = None
    tags: Annotated[Literal["all", "any"], Query(description="Whether all of `tag` must be there")] = "all"
    updated_since: LooseTime | None = None
    sort: Order = "-created"
    cursor: Cursor = None
    limit: Limit = 50


async def list_workflows(resources: Resources, caller: Identity, query: ListQuery) -> Page[WorkflowReply]:
    """The workflows that the caller may see. Raises: ValidationFailed."""
    rows, place = await WorkflowLists(resources.database).page(
        caller.tenant, filter_of(query, caller), order=query.sort, after=_place(query), limit=query.limit
    )
    following = None if place is None else write_cursor(_position(query.sort, place))
    return Page[WorkflowReply](items=[reply_of(row) for row in rows], next=following)


def filter_of(query: ListQuery, caller: Identity) -> WorkflowFilter:
    """Raises: ValidationFailed."""
    since = query.updated_since
    if since is not None and since.tzinfo is None:
        raise _bad("updated_since", "the time has no zone", "end it in Z or +00:00")
    return WorkflowFilter(
        statuses=_statuses(query.status),
        owner=plain_text(query.owner),
        folder=query.folder,
        with_subfolders=query.subfolders,
        tags=normal_tags(query.tag or ()),
        any_tag=query.tags == "any",
        search=plain_text(query.search),
        updated_since=since,
        sight=sight_of(caller),
    )


def normal_tags(given: Iterable[str]) -> tuple[str, ...]:
    """Tags as they are kept: lower case, single spaces, sorted, each once. Raises: ValidationFailed."""
    tags = {" ".join((plain_text(tag) or "").lower().split()) for tag in given}
    if "" in tags:
        raise _bad("tags", "a tag is empty", "leave it out")
    if any(len(tag) > MAX_TAG_LENGTH for tag in tags):
        raise _bad("tags", f"a tag has more than {MAX_TAG_LENGTH} characters", "shorten it")
    return tuple(sorted(tags))


def _statuses(given: str | None) -> tuple[str, ...] | None:
    if given is None:
        return tuple(status for status in STATUSES if status != "archived")
    if given == "any":
        return None
    wanted = tuple(part.strip() for part in given.split(","))
    if unknown := [status for status in wanted if status not in STATUSES]:
        raise _bad("query.status", f"there is no status {unknown[0][:40]!r}", f"write {', '.join(STATUSES)} or any")
    return wanted


def _position(order: Order, place: Place) -> Position:
    value, identity = place
    return Position(order, identity, None if order.endswith("created") else value)


def _place(query: ListQuery) -> Place | None:
    position = read_position(query.cursor, query.sort)
    if position is None:
        return None
    return _value(query.sort, position), position.id


def _value(order: Order, position: Position) -> Any:
    if order.endswith("created"):
        return position.id
    if not isinstance(position.value, str):
        raise bad_cursor()
    if order.endswith("name"):
        return plain_text(position.value)
    try:
        moment = datetime.fromisoformat(position.value)
    except ValueError:
        raise bad_cursor() from None
    if moment.tzinfo is None:
        raise bad_cursor()
    return moment


def _bad(path: str, message: str, hint: str) -> ValidationFailed:
    return ValidationFailed([Issue("INVALID_VALUE", path, message, hint)], "the request is not valid")
