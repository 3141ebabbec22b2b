"""Bodies of the health routes."""

from __future__ import annotations

from pydantic import Field

from api.schemas import Reply


class Health(Reply):
    """The process lives."""

    status: str = "ok"
    version: str


class Readiness(Reply):
    """`missing` parts keep the API from working; without `degraded` ones it works, with less."""

    ready: bool
    missing: list[str]
    degraded: list[str] = Field(default_factory=list[str])
