"""Events, the triggers that wait for them, and what they have started."""

from __future__ import annotations

from datetime import datetime
from typing import Any, cast
from uuid import UUID

from sqlalchemy import DateTime, ForeignKeyConstraint, Index, Integer, LargeBinary, text
from sqlmodel import Field, SQLModel

from models.tables.columns import created, document, moment, words


class Event(SQLModel, table=True):
    """Something that was published, once under its `id`.

    `digest` is the SHA-256 of what was published, by which another event under the same id is known. `depth` counts the
    events that led to it. `about_workflow_id` is the workflow that an event of our own tells of; whoever may not see it
    does not hear of it. `note` says why an event has started nothing; `settled_at` is when all triggers had been asked.
    """

    __tablename__ = cast("Any", "event")
    __table_args__ = (Index("event_created_idx", "created_at"),)

    tenant_id: UUID = Field(primary_key=True)
    id: str = words(primary_key=True)
    type: str = words()
    source: str = words()
    time: datetime = Field(nullable=False, sa_type=cast("Any", DateTime(timezone=True)))
    data: Any = document()
    digest: bytes = Field(sa_type=LargeBinary)
    depth: int = Field(default=0, sa_type=Integer, sa_column_kwargs={"server_default": text("0")})
    about_workflow_id: UUID | None = None
    published_by: str = words(default="")
    note: str | None = words(nullable=True)
    created_at: datetime = created()
    settled_at: datetime | None = moment()


class EventTrigger(SQLModel, table=True):
    """An `event` node of the published version of an active workflow; PostgreSQL keeps these rows itself.

    `pattern` is its `event_type`; `author` is who saved the version.
    """

    __tablename__ = cast("Any", "event_trigger")
    __table_args__ = (Index("event_trigger_pattern_idx", "tenant_id", "pattern"),)

    tenant_id: UUID = Field(primary_key=True)
    workflow_id: UUID = Field(primary_key=True)
    node_id: str = words(primary_key=True)
    version: int = Field(sa_type=Integer)
    pattern: str = words()
    author: str = words(default="")


class EventStart(SQLModel, table=True):
    """What came of an event at one trigger: an execution, or the error that kept it from one."""

    __tablename__ = cast("Any", "event_start")
    __table_args__ = (
        ForeignKeyConstraint(
            ["tenant_id", "event_id"],
            ["event.tenant_id", "event.id"],
            name="event_start_event_fkey",
            ondelete="CASCADE",
        ),
    )

    tenant_id: UUID = Field(primary_key=True)
    event_id: str = words(primary_key=True)
    workflow_id: UUID = Field(primary_key=True)
    node_id: str = words(primary_key=True)
    version: int = Field(sa_type=Integer)
    execution_id: UUID | None = None
    error: dict[str, Any] | None = document()
    created_at: datetime = created()
