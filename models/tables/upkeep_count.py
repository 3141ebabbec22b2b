"""Upkeep counts: what the installation's upkeep has done."""

from __future__ import annotations

from datetime import datetime
from typing import Any, cast

from sqlalchemy import BigInteger, text
from sqlmodel import Field, SQLModel

from models.tables.columns import moment, words


class UpkeepCount(SQLModel, table=True):
    """How often upkeep has done one kind of thing, in all, and when last. Of the installation, not of a tenant."""

    __tablename__ = cast("Any", "upkeep_count")

    kind: str = words(primary_key=True)
    total: int = Field(default=0, sa_type=BigInteger, sa_column_kwargs={"server_default": text("0")})
    last_at: datetime | None = moment()
