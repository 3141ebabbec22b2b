"""Whether the API can work, and with what; who serves which task queue, and what waits there."""

from __future__ import annotations

from api.resources import Resources
from api.system.schemas import QueueReply, QueueSide, Readiness, ServedQueue, WorkerReply
from engine.activities.task_queues import Kind, Poller, Side, TaskQueues, queues_of


async def readiness(resources: Resources) -> Readiness:
    """Asks PostgreSQL, its schema, Temporal, the object store and Redis at once, for some seconds at most."""
    found = await resources.dependencies().look()
    return Readiness(ready=found.ready, missing=found.missing, degraded=found.degraded)


async def queues(resources: Resources) -> list[QueueReply]:
    """Every task queue of the settings and the plugins, that of executions first. Raises: SystemFault."""
    main = resources.settings.worker.task_queue
    return [
        QueueReply(
            queue=queue,
            executions=queue == main,
            workflow=_shown(sides["workflow"]),
            activity=_shown(sides["activity"]),
        )
        for queue, sides in (await _look(resources)).items()
    ]


def _shown(side: Side) -> QueueSide:
    return QueueSide(
        waiting=side.backlog,
        oldest_wait_s=round(side.backlog_age_s, 3),
        added_per_s=round(side.added_per_s, 3),
        taken_per_s=round(side.taken_per_s, 3),
        workers=len(side.pollers),
    )


async def workers(resources: Resources) -> list[WorkerReply]:
    """Every worker that polled within minutes, the latest first. Raises: SystemFault."""
    polls: dict[str, list[tuple[ServedQueue, Poller]]] = {}
    for queue, sides in (await _look(resources)).items():
        for kind, side in sides.items():
            for poller in side.pollers:
                polls.setdefault(poller.identity, []).append((ServedQueue(queue=queue, kind=kind), poller))
    found = [_worker(identity, seen) for identity, seen in polls.items()]
    return sorted(found, key=lambda worker: worker.last_seen_at, reverse=True)


def _worker(identity: str, polls: list[tuple[ServedQueue, Poller]]) -> WorkerReply:
    return WorkerReply(
        worker=identity,
        last_seen_at=max(poller.last_seen_at for _, poller in polls),
        build_id=next((poller.build_id for _, poller in polls if poller.build_id), None),
        queues=[queue for queue, _ in polls],
    )


async def _look(resources: Resources) -> dict[str, dict[Kind, Side]]:
    settings = resources.settings
    names = queues_of(settings.worker, resources.catalogue)
    return await TaskQueues(resources.temporal, settings.temporal.namespace).describe(names)
