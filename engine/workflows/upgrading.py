"""The Temporal workflows that go over to each new build of a versioned fleet, in place of ending on their own.

They are small, and patch markers guard them. A launcher that waits for a slot would otherwise begin its execution on a
build that drains. They are classes of their own because a fleet without versions refuses the behaviour.
"""

from __future__ import annotations

from typing import Any

from temporalio import workflow
from temporalio.common import VersioningBehavior

from engine.contracts import LAUNCHER_WORKFLOW, NOTIFICATION_WORKFLOW, LaunchRequest, NotificationInput
from engine.workflows.launcher import LauncherWorkflow
from engine.workflows.notifying import NotificationWorkflow


@workflow.defn(name=LAUNCHER_WORKFLOW, versioning_behavior=VersioningBehavior.AUTO_UPGRADE)
class UpgradingLauncher(LauncherWorkflow):
    """One fire of a schedule."""

    @workflow.run
    async def run(self, request: LaunchRequest) -> dict[str, Any]:
        return await super().run(request)


@workflow.defn(name=NOTIFICATION_WORKFLOW, versioning_behavior=VersioningBehavior.AUTO_UPGRADE)
class UpgradingNotification(NotificationWorkflow):
    """One round of one notification."""

    @workflow.run
    async def run(self, request: NotificationInput) -> str:
        return await super().run(request)
