"""Worker deployments as Temporal holds them: which build new executions begin on, and which still have some to end.

Source: Temporal's Worker Versioning; the routes are those of its `WorkflowService`.
"""

from __future__ import annotations

from dataclasses import dataclass

from temporalio.api.deployment.v1 import WorkerDeploymentInfo
from temporalio.api.enums.v1 import WorkerDeploymentVersionStatus
from temporalio.api.workflowservice.v1 import (
    DescribeWorkerDeploymentRequest,
    SetWorkerDeploymentCurrentVersionRequest,
)
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from engine.errors import ConfigurationError

CURRENT, DRAINING, DRAINED = "current", "draining", "drained"
_PREFIX = "WORKER_DEPLOYMENT_VERSION_STATUS_"


@dataclass(frozen=True, slots=True)
class Build:
    """A build of the worker fleet.

    `status`: `inactive` (its workers run, and it was never current), `current` (new executions begin on it),
    `draining` (executions that began on it still run) or `drained` (none does; its workers may be stopped).
    """

    build_id: str
    status: str


async def builds_of(client: Client, deployment: str) -> list[Build]:
    """Every build that Temporal knows, newest first; none if no worker of this name has polled yet."""
    info = await _described(client, deployment)
    if info is None:
        return []
    newest = sorted(info.version_summaries, key=lambda one: one.create_time.ToDatetime(), reverse=True)
    return [Build(one.deployment_version.build_id, _status_of(one.status)) for one in newest]


async def make_current(client: Client, deployment: str, build_id: str) -> None:
    """Let new executions begin on this build; those that run stay on theirs.

    Raises: ConfigurationError if no worker of the build polls every task queue that the current one serves.
    """
    request = SetWorkerDeploymentCurrentVersionRequest(
        namespace=client.namespace, deployment_name=deployment, build_id=build_id, identity="structforge"
    )
    try:
        await client.workflow_service.set_worker_deployment_current_version(request)
    except RPCError as error:
        if error.status not in (RPCStatusCode.NOT_FOUND, RPCStatusCode.FAILED_PRECONDITION):
            raise
        raise ConfigurationError(f"{deployment} {build_id} cannot become current: {error.message}") from None


async def _described(client: Client, deployment: str) -> WorkerDeploymentInfo | None:
    request = DescribeWorkerDeploymentRequest(namespace=client.namespace, deployment_name=deployment)
    try:
        reply = await client.workflow_service.describe_worker_deployment(request)
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            return None
        raise
    return reply.worker_deployment_info


def _status_of(status: WorkerDeploymentVersionStatus.ValueType) -> str:
    return WorkerDeploymentVersionStatus.Name(status).removeprefix(_PREFIX).lower()
