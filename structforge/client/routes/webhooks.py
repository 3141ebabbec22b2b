"""Routes of webhooks. Written by docs/generate.py from the OpenAPI document: change the API, not this file."""

from __future__ import annotations

from structforge.client.calls import Call, Id, call, part
from structforge.client.models.webhooks import HookList


class WebhooksRoutes:
    """Routes of webhooks."""

    @call
    def list_hooks(self, workflow_id: Id) -> Call[HookList]:
        """The webhooks of a workflow with their full addresses, and how a call proves itself."""
        return Call("GET", f"/api/v1/workflows/{part(workflow_id)}/hooks", HookList)
