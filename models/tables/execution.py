"""Executions: runs of versions."""

from __future__ import annotations

from datetime import datetime
from typing import Any, cast
from uuid import UUID

from sqlalchemy import Double, Index, Integer, SmallInteger, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel

from models.tables.columns import created, document, moment, number, structure, words

_ZERO = {"server_default": text("0")}


class Execution(SQLModel, table=True):
    """One run of a version.

    `status` is pending, running, paused, success, failed, cancelled or timed_out; `input` and `output` are Values;
    `metadata` (here `labels`) is searchable. `expected_count` and `expected_digest` are what the closing transaction
    checked the node executions against. A rerun runs node `rerun_from` of execution `rerun_of` again with what follows.
    `reason` is `queued` while a pending execution waits for a slot; `released_at` is when it was given one. `timeout_s`
    is the longest time that a quota allows it. `holds` is not used any more. `started_by` is the person who started
    it, or its outermost parent; empty if no person did.
    Partitioned by tenant, then by month of the id.
    """

    __tablename__ = cast("Any", "execution")
    __table_args__ = (
        Index("execution_workflow_status_created_idx", "tenant_id", "workflow_id", "status", "created_at"),
        Index(
            "execution_parent_idx",
            "tenant_id",
            "parent_execution_id",
            postgresql_where=text("parent_execution_id IS NOT NULL"),
        ),
        Index("execution_rerun_idx", "tenant_id", "rerun_of", postgresql_where=text("rerun_of IS NOT NULL")),
        Index("execution_open_idx", "status", "created_at", postgresql_where=text("finished_at IS NULL")),
        Index("execution_finished_idx", "tenant_id", "finished_at", postgresql_where=text("finished_at IS NOT NULL")),
        Index(
            "execution_problem_idx",
            "tenant_id",
            "id",
            postgresql_where=text("status IN ('failed', 'cancelled', 'timed_out')"),
        ),
        Index(
            "execution_person_idx",
            "tenant_id",
            "started_by",
            "id",
            postgresql_where=text("started_by <> ''"),
        ),
        Index(
            "execution_duration_idx",
            "tenant_id",
            "duration_ms",
            "id",
            postgresql_where=text("duration_ms IS NOT NULL"),
        ),
        Index(
            "execution_labels_idx",
            "metadata",
            postgresql_using="gin",
            postgresql_ops={"metadata": "jsonb_path_ops"},
            postgresql_where=text("metadata <> '{}'::jsonb"),
        ),
        {"postgresql_partition_by": "LIST (tenant_id)"},
    )

    tenant_id: UUID = Field(primary_key=True)
    id: UUID = Field(primary_key=True)
    workflow_id: UUID
    version_id: UUID
    workflow_name: str = words()
    status: str = words(default="pending")
    trigger: str = words(default="manual")
    trigger_node: str | None = words(nullable=True)
    input: dict[str, Any] | None = document()
    output: dict[str, Any] | None = document()
    error: dict[str, Any] | None = document()
    parent_execution_id: UUID | None = None
    rerun_of: UUID | None = None
    rerun_from: str | None = words(nullable=True)
    attempt: int = Field(default=1, sa_type=Integer, sa_column_kwargs={"server_default": text("1")})
    node_total: int = Field(default=0, sa_type=Integer, sa_column_kwargs=_ZERO)
    handled_failures: int = Field(default=0, sa_type=Integer, sa_column_kwargs=_ZERO)
    priority: int = Field(default=3, sa_type=SmallInteger, sa_column_kwargs={"server_default": text("3")})
    labels: dict[str, Any] = Field(
        default_factory=dict, sa_type=JSONB, sa_column_kwargs={"name": "metadata", "server_default": text("'{}'")}
    )
    holds: list[list[str]] | None = structure()
    started_by: str = words(default="")
    created_at: datetime = created()
    started_at: datetime | None = moment()
    finished_at: datetime | None = moment()
    duration_ms: float | None = Field(default=None, sa_type=Double)
    expected_count: int | None = number()
    expected_digest: int | None = number()
    reason: str | None = words(nullable=True)
    released_at: datetime | None = moment()
    timeout_s: float | None = Field(default=None, sa_type=Double)
