"""Schedules: when workflows start by themselves."""

from __future__ import annotations

from datetime import datetime
from typing import Any, cast
from uuid import UUID

from sqlalchemy import Boolean, Double, Index, Integer, UniqueConstraint, text
from sqlmodel import Field, SQLModel

from models.tables.columns import created, document, moment, words

_ZERO = {"server_default": text("0")}


class Schedule(SQLModel, table=True):
    """One rule of when a workflow starts: exactly one of `cron`, `every_s` and `at`.

    `source` is `api`, or `timer` for a timer node of the published version, whose row follows the document;
    `trigger_node` is then its id. `paused` is people's switch, `enabled` the definition's own. `overlap` says what
    happens when a start is due while the one before still runs: skip, buffer_one, buffer_all, cancel_other,
    terminate_other or allow_all. Starts that were missed are made up for within `catchup_window_s`. `revision` grows
    with every change.
    """

    __tablename__ = cast("Any", "schedule")
    __table_args__ = (
        UniqueConstraint("tenant_id", "workflow_id", "name", name="schedule_name_key"),
        Index("schedule_workflow_idx", "tenant_id", "workflow_id"),
    )

    tenant_id: UUID = Field(primary_key=True)
    id: UUID = Field(primary_key=True)
    workflow_id: UUID
    name: str = words()
    source: str = words(default="api")
    trigger_node: str | None = words(nullable=True)
    cron: str | None = words(nullable=True)
    every_s: float | None = Field(default=None, sa_type=Double)
    at: datetime | None = moment()
    timezone: str = words(default="UTC")
    jitter_s: float = Field(default=0, sa_type=Double, sa_column_kwargs=_ZERO)
    overlap: str = words(default="skip")
    catchup_window_s: float = Field(default=3600, sa_type=Double, sa_column_kwargs={"server_default": text("3600")})
    starts_at: datetime | None = moment()
    ends_at: datetime | None = moment()
    max_runs: int | None = Field(default=None, sa_type=Integer)
    enabled: bool = Field(default=True, sa_type=Boolean, sa_column_kwargs={"server_default": text("true")})
    paused: bool = Field(default=False, sa_type=Boolean, sa_column_kwargs={"server_default": text("false")})
    input: dict[str, Any] | None = document()
    started_by: str = words(default="")
    revision: int = Field(default=1, sa_type=Integer, sa_column_kwargs={"server_default": text("1")})
    created_at: datetime = created()
    updated_at: datetime = created()
