"""Notifying: one Temporal workflow for each message, which is tried until it is sent or given up."""

from __future__ import annotations

from temporalio import workflow

from engine.contracts import DELIVER_NOTIFICATION, NOTIFICATION_WORKFLOW, NotificationInput
from engine.workflows import options


@workflow.defn(name=NOTIFICATION_WORKFLOW)
class NotificationWorkflow:
    """One round of one notification. The activity counts its tries in the row, and says how long to wait."""

    @workflow.run
    async def run(self, request: NotificationInput) -> str:
        """What came of it: sent, dead, or nothing where the row is gone."""
        result = await workflow.execute_activity(
            DELIVER_NOTIFICATION, request, result_type=str, **options.until_done(90, heartbeat=True)
        )
        return str(result)
