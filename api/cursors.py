"""Cursors of pages: opaque text for the place where the next page begins."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, cast
from uuid import UUID

import orjson
from fastapi import Query

from engine.errors import Issue, ValidationFailed
from models.rows import NodeKey

Cursor = Annotated[str | None, Query(max_length=2000, description="`next` of the page before")]
Limit = Annotated[int, Query(ge=1, le=500, description="Items a page")]


@dataclass(frozen=True, slots=True)
class Position:
    """The place behind item `id` of a list in `order`; `value` is what the item is ordered by, if not its id."""

    order: str
    id: UUID
    value: datetime | str | float | None = None


def write_cursor(place: UUID | NodeKey | Position | int | None) -> str | None:
    """The text of a place, None for none."""
    if place is None:
        return None
    return base64.urlsafe_b64encode(orjson.dumps(place, default=str)).decode().rstrip("=")


def read_id(cursor: str | None) -> UUID | None:
    """Raises: ValidationFailed if the text is no cursor of such a list."""
    if cursor is None:
        return None
    try:
        return UUID(_decode(cursor))
    except (ValueError, AttributeError, TypeError):
        raise bad_cursor() from None


def read_node_key(cursor: str | None) -> NodeKey | None:
    """Raises: ValidationFailed if the text is no cursor of such a list."""
    if cursor is None:
        return None
    match _decode(cursor):
        case [str(path), list(raw), int(generation)] if 0 <= generation < 2**31:
            iteration = cast("list[Any]", raw)
            if all(isinstance(number, int) and 0 <= number < 2**31 for number in iteration):
                return path.replace("\x00", ""), tuple(iteration), generation
        case _:
            pass
    raise bad_cursor()


def read_position(cursor: str | None, order: str) -> Position | None:
    """Raises: ValidationFailed if the text is no cursor of a list in this order."""
    if cursor is None:
        return None
    match _decode(cursor):
        case {"order": str(known), "id": str(text), "value": value} if known == order:
            try:
                return Position(order, UUID(text), value)
            except ValueError:
                raise bad_cursor() from None
        case _:
            raise bad_cursor()


def read_number(cursor: str | None) -> int | None:
    """Raises: ValidationFailed if the text is no cursor of such a list."""
    if cursor is None:
        return None
    number = _decode(cursor)
    if not isinstance(number, int) or not 0 <= number < 2**31:
        raise bad_cursor()
    return number


def _decode(cursor: str) -> Any:
    try:
        return orjson.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (binascii.Error, ValueError):
        raise bad_cursor() from None


def bad_cursor() -> ValidationFailed:
    issue = Issue("INVALID_CURSOR", "query.cursor", "this is no cursor of this list", "take `next` of a page as it is")
    return ValidationFailed([issue], "the request is not valid")
