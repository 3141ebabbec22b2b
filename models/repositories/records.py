"""From database records to the row types of `models.tables`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, cast
from uuid import UUID

import asyncpg
from sqlmodel import SQLModel

Row = TypeVar("Row", bound=SQLModel)
Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Page(Generic[Item]):
    """Part of a list, newest first; `next` is where the next page begins, None at the end."""

    items: list[Item]
    next: UUID | None = None


def columns_of(table: type[SQLModel], *, without: tuple[str, ...] = ()) -> str:
    """The table's columns for a SELECT, in their order."""
    columns = cast("Any", table).__table__.columns
    return ", ".join(column.name for column in columns if column.name not in without)


def row_of(table: type[Row], record: asyncpg.Record, *, renamed: Mapping[str, str] | None = None) -> Row:
    """The record as a row; `renamed` maps column names to field names where they differ."""
    names = renamed or {}
    return table(**{names.get(column, column): value for column, value in record.items()})


def page_of(rows: list[Item], limit: int, identity: str = "id") -> Page[Item]:
    """Cut a list that was read with one row more than `limit`, to know whether there is a next page."""
    if len(rows) <= limit:
        return Page(rows)
    kept = rows[:limit]
    return Page(kept, getattr(kept[-1], identity))
