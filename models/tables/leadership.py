"""Leaderships: which process does what only one may do."""

from __future__ import annotations

from datetime import datetime
from typing import Any, cast

from sqlmodel import SQLModel

from models.tables.columns import moment, number, words


class Leadership(SQLModel, table=True):
    """The latest leader of a kind; `epoch` grows with each change and marks what a leader writes elsewhere."""

    __tablename__ = cast("Any", "leadership")

    kind: str = words(primary_key=True)
    epoch: int = number(0)
    holder: str = words()
    since: datetime | None = moment()
