"""Bodies of the health routes."""

from __future__ import annotations

from api.schemas import Reply


class Health(Reply):
    """The process lives."""

    status: str = "ok"
    version: str


class Readiness(Reply):
    """`missing` parts keep the API from working; without `degraded` ones it works, with less."""

    ready: bool
    missing: list[str]
    degraded: list[str] = []
