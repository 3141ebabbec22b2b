"""Bodies of system. Written by docs/generate.py from the OpenAPI document: change the API, not this file."""

from __future__ import annotations

from datetime import datetime

from structforge.client.shapes import ReplyModel


class Health(ReplyModel):
    """The process lives."""

    status: str
    version: str


class QueueSide(ReplyModel):
    """One kind of tasks of a queue. Temporal estimates all of it."""

    waiting: int
    oldest_wait_s: float
    added_per_s: float
    taken_per_s: float
    workers: int


class QueueReply(ReplyModel):
    """A task queue. `executions`: the one that executions run on; every other has nodes alone."""

    queue: str
    executions: bool
    workflow: QueueSide
    activity: QueueSide


class Readiness(ReplyModel):
    """`missing` parts keep the API from working; without `degraded` ones it works, with less."""

    ready: bool
    missing: list[str]
    degraded: list[str]


class ServedQueue(ReplyModel):
    """A task queue that a worker asks for tasks of one kind."""

    queue: str
    kind: str


class WorkerReply(ReplyModel):
    """A worker process, as `host:pid`. One that has gone is told of for five minutes more."""

    worker: str
    last_seen_at: datetime
    build_id: str | None
    queues: list[ServedQueue]
