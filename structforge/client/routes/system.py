"""Routes of system. Written by docs/generate.py from the OpenAPI document: change the API, not this file."""

from __future__ import annotations

from structforge.client.calls import Call, call
from structforge.client.models.system import Health, QueueReply, Readiness, WorkerReply


class SystemRoutes:
    """Routes of system."""

    @call
    def get_health(self) -> Call[Health]:
        """Whether the process lives."""
        return Call("GET", "/healthz", Health)

    @call
    def get_readiness(self) -> Call[Readiness]:
        """Whether the API can work; 503 names what is missing."""
        return Call("GET", "/readyz", Readiness, accepts=(503,))

    @call
    def list_workers(self) -> Call[list[WorkerReply]]:
        """Workers that asked Temporal for work within five minutes, the latest first, and what they serve."""
        return Call("GET", "/api/v1/system/workers", list[WorkerReply])

    @call
    def list_queues(self) -> Call[list[QueueReply]]:
        """Task queues of the settings and the plugins: what waits in them, and how many workers ask for it."""
        return Call("GET", "/api/v1/system/queues", list[QueueReply])
