"""Settings of the work itself: workers, limits of documents, the recorder."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field, StringConstraints

from engine.settings.api import Rate
from engine.settings.section import SectionRules

# Also the name of a log file of the embedded stack.
QueueName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:-]{0,99}$")]


# Temporal writes the two of a build as `name.id` or `name:id`.
BuildName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,99}$")]


class WorkerSettings(SectionRules, BaseModel):
    """With `deployment_name` the fleet is versioned: an execution ends on the build it began on (docs/upgrades.md).

    `build_id` is by default a digest of the interpreter's code, so that a release that leaves it alone is no new build.
    """

    task_queue: str = "structforge"
    processes: int = Field(default=1, gt=0)
    max_concurrent_activities: int = Field(default=100, gt=0)
    max_concurrent_workflow_tasks: int = Field(default=40, gt=1)
    max_eager_activities: int = Field(default=50, ge=0)
    max_cached_workflows: int = Field(default=1000, ge=0)
    evaluator_processes: int = Field(default=2, gt=0)
    graceful_shutdown_s: float = Field(default=30, ge=0)
    routes: dict[str, QueueName] = {}
    queues: list[QueueName] = []
    stuck_after_s: float = Field(default=60, ge=0)
    deployment_name: BuildName | None = None
    build_id: BuildName | None = None


class LimitSettings(SectionRules, BaseModel):
    """Bounds on documents and on what one expression or node may use."""

    max_document_bytes: int = Field(default=4_000_000, gt=0)
    max_nodes: int = Field(default=10_000, gt=0)
    max_body_depth: int = Field(default=16, gt=0)
    max_expression_bytes: int = Field(default=4096, gt=0)
    max_iterations: int = Field(default=10_000, gt=0)
    inline_output_bytes: int = Field(default=32_768, gt=0)
    expression_timeout_s: float = Field(default=1, gt=0)
    expression_memory_bytes: int = Field(default=64 * 1024 * 1024, gt=0)
    event_bytes: int = Field(default=262_144, gt=0)
    event_depth: int = Field(default=8, ge=1, le=100)
    events_per_tenant: Rate = "60000/minute"


class WorkflowSettings(SectionRules, BaseModel):
    """Versions behind the last `keep_versions` of a workflow go, but never one that is published or was executed."""

    keep_versions: int | None = Field(default=200, ge=1)


class RecorderSettings(SectionRules, BaseModel):
    """How long and how many outcomes the recorder gathers before one write, and what it keeps beside them.

    `inputs`: the resolved parameters of no node, of nodes that do I/O and of all that fail, or of all nodes.
    """

    max_delay_ms: float = Field(default=50, ge=0)
    max_rows: int = Field(default=1000, gt=0)
    inputs: Literal["none", "io", "all"] = "io"
    log_level: Literal["debug", "info", "warning", "error"] = "info"
