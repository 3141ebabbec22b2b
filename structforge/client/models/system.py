"""Bodies of system. Written by docs/generate.py from the OpenAPI document: change the API, not this file."""

from __future__ import annotations

from structforge.client.shapes import ReplyModel


class Health(ReplyModel):
    """The process lives."""

    status: str
    version: str


class Readiness(ReplyModel):
    """`missing` parts keep the API from working; without `degraded` ones it works, with less."""

    ready: bool
    missing: list[str]
    degraded: list[str]
