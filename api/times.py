"""Times that people send: ISO 8601, never a bare number, which would be read as seconds since 1970."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Any

from pydantic import AwareDatetime, BeforeValidator


def _as_text(value: Any) -> Any:
    """Raises: ValueError for a number, be it written as one or as text."""
    if isinstance(value, str):
        if any(mark in value for mark in "-:T"):
            return value
    elif isinstance(value, date):  # a datetime is one too
        return value
    raise ValueError("a time is written like 2026-01-31T12:00:00Z, a day like 2026-01-31")


Time = Annotated[AwareDatetime, BeforeValidator(_as_text)]
LooseTime = Annotated[datetime, BeforeValidator(_as_text)]  # the endpoint asks for the zone
Day = Annotated[date | datetime, BeforeValidator(_as_text)]
