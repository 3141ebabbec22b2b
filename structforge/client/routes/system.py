"""Routes of system. Written by docs/generate.py from the OpenAPI document: change the API, not this file."""

from __future__ import annotations

from structforge.client.calls import Call, call
from structforge.client.models.system import Health, Readiness


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
