"""From database records to the row types of `models.tables`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Generic, TypeVar, cast
from uuid import UUID

import asyncpg
from sqlalchemy.orm import configure_mappers
from sqlalchemy.orm.instrumentation import ClassManager, manager_of_class
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
    """The record as a row; `renamed` maps column names to field names where they differ.

    What PostgreSQL gives needs no constructor, which takes thirty times as long: it tells SQLAlchemy of every member.
    """
    names = renamed or {}
    values = {names.get(column, column): value for column, value in record.items()}
    row: Any = _manager_of(cast("Any", table)).new_instance()
    row.__dict__.update(_defaults_of(table, values))
    row.__dict__.update(values)
    row.__pydantic_fields_set__.update(values)
    return cast("Row", row)


@cache
def _manager_of(table: Any) -> ClassManager[Any]:
    configure_mappers()  # what the first constructor would do: until then members cannot be read
    return manager_of_class(table)


def _defaults_of(table: type[SQLModel], values: Mapping[str, Any]) -> dict[str, Any]:
    """What the columns that were left out of the SELECT have by default."""
    fields = table.model_fields
    if len(values) >= len(fields):
        return {}
    absent = ((name, one) for name, one in fields.items() if name not in values and not one.is_required())
    return {name: one.get_default(call_default_factory=True) for name, one in absent}


def page_of(rows: list[Item], limit: int, identity: str = "id") -> Page[Item]:
    """Cut a list that was read with one row more than `limit`, to know whether there is a next page."""
    if len(rows) <= limit:
        return Page(rows)
    kept = rows[:limit]
    return Page(kept, getattr(kept[-1], identity))
