"""Column kinds that the tables share."""

from __future__ import annotations

from typing import Any, cast

from sqlalchemy import BigInteger, DateTime, Text, func, text
from sqlalchemy.dialects.postgresql import JSON, JSONB
from sqlmodel import Field


def moment() -> Any:
    """A time with its zone, or null."""
    return Field(default=None, sa_type=cast("Any", DateTime(timezone=True)))


def created() -> Any:
    """The time the row was made, given by the server."""
    return Field(
        default=None,
        nullable=False,
        sa_type=cast("Any", DateTime(timezone=True)),
        sa_column_kwargs={"server_default": func.now()},
    )


def document(*, nullable: bool = True) -> Any:
    """JSON data that people wrote or nodes gave: kept as it is, for jsonb would reorder the keys."""
    return Field(default=None, sa_type=JSON, nullable=nullable)


def structure(*, nullable: bool = True) -> Any:
    """JSON data of our own that SQL looks into."""
    return Field(default=None, sa_type=JSONB, nullable=nullable)


def words(*, default: str | None = None, nullable: bool = False, primary_key: bool = False) -> Any:
    """Text of any length."""
    options = {} if default is None else {"sa_column_kwargs": {"server_default": text(f"'{default}'")}}
    start = {} if default is None and not nullable else {"default": default}
    return Field(sa_type=Text, nullable=nullable, primary_key=primary_key, **start, **options)  # pyright: ignore[reportArgumentType,reportCallIssue]


def number(default: int | None = None) -> Any:
    """A 64-bit number, null only where the default is null and the field says so."""
    if default is None:
        return Field(default=None, sa_type=BigInteger, nullable=True)
    return Field(default=default, sa_type=BigInteger, sa_column_kwargs={"server_default": text(str(default))})
