"""Bodies of schedules. Written by docs/generate.py from the OpenAPI document: change the API, not this file."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from structforge.client.shapes import ReplyModel


class PreviewReply(ReplyModel):
    """What Temporal says of a schedule. `synced` false: it is not there yet, or the workflow is not live."""

    synced: bool
    paused: bool
    next: list[datetime]
    runs: int
    runs_left: int | None
    skipped: int
    missed: int


class ScheduleReply(ReplyModel):
    """A schedule. `source` is `timer` for a timer node of the published version: its rule follows the document."""

    id: UUID
    workflow_id: UUID
    name: str
    source: str
    trigger: str | None
    cron: str | None
    every_s: float | None
    at: datetime | None
    timezone: str
    jitter_s: float
    overlap: str
    catchup_window_s: float
    starts_at: datetime | None
    ends_at: datetime | None
    max_runs: int | None
    enabled: bool
    paused: bool
    input: Any
    revision: int
    created_at: datetime
    updated_at: datetime
