"""Bodies of the health routes, and what is told of workers and task queues."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field

from api.schemas import Reply


class Health(Reply):
    """The process lives."""

    status: str = "ok"
    version: str


class Readiness(Reply):
    """`missing` parts keep the API from working; without `degraded` ones it works, with less."""

    ready: bool
    missing: list[str] = Field(description="Of postgresql, schema, temporal and object_store")
    degraded: list[str] = Field(default_factory=list[str], description="Of redis")


class QueueSide(Reply):
    """One kind of tasks of a queue. Temporal estimates all of it."""

    waiting: int = Field(description="Tasks that wait for a worker")
    oldest_wait_s: float = Field(description="How long the first of them has waited")
    added_per_s: float = Field(description="Tasks that came in a second, of late")
    taken_per_s: float = Field(description="Tasks that workers took in a second, of late")
    workers: int = Field(description="Workers that asked for such tasks within five minutes")


class QueueReply(Reply):
    """A task queue. `executions`: the one that executions run on; every other has nodes alone."""

    queue: str
    executions: bool
    workflow: QueueSide = Field(description="Steps of executions")
    activity: QueueSide = Field(description="Nodes")


class ServedQueue(Reply):
    """A task queue that a worker asks for tasks of one kind."""

    queue: str
    kind: Literal["workflow", "activity"]


class WorkerReply(Reply):
    """A worker process, as `host:pid`. One that has gone is told of for five minutes more."""

    worker: str
    last_seen_at: datetime = Field(description="When it last asked for work")
    build_id: str | None = Field(default=None, description="Digest of its interpreter: workers of one version agree")
    queues: list[ServedQueue]
