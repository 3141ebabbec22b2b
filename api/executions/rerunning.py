"""Reruns: a new execution that keeps what its model has reached before a node."""

from __future__ import annotations

from uuid import UUID

from api.executions.starting import Order, launch_row
from api.resources import Resources
from engine.activities.starting import CompiledVersion
from engine.dag.inputs import check_input
from engine.dag.values import Value
from engine.errors import Conflict, Issue, ValidationFailed
from models.repositories.executions import Created, Executions, NewExecution
from models.rows import TERMINAL_EXECUTION_STATUSES
from models.tables import Execution
from models.tenancy import TenantId


async def rerun(
    resources: Resources, tenant: TenantId, execution_id: UUID, from_node: str | None, order: Order, *, new_input: bool
) -> Created:
    """Start an execution that repeats another from `from_node` on, or whole; with the old input unless `new_input`.

    Raises: NotFound; Conflict (EXECUTION_RUNNING) before the model's end; ValidationFailed.
    """
    model = await Executions(resources.database).get(tenant, execution_id)
    if model.status not in TERMINAL_EXECUTION_STATUSES:
        raise Conflict("the execution has not ended: cancel it or wait", code="EXECUTION_RUNNING")
    version = await resources.versions.get(tenant, model.version_id)
    if from_node is not None:
        _check_node(version, from_node)
    given = await _stored_input(resources, tenant, version, order) if new_input else model.input
    new = _new_execution(model, from_node, given, len(version.plan.nodes), order.by)
    created = await Executions(resources.database).create_execution(tenant, new, request=order.once("rerun"))
    if created.is_new:
        await launch_row(resources, tenant, created.execution)
    return created


def _new_execution(
    model: Execution, from_node: str | None, given: Value | None, node_total: int, by: str
) -> NewExecution:
    return NewExecution(
        workflow_id=model.workflow_id,
        version_id=model.version_id,
        workflow_name=model.workflow_name,
        input=given,
        trigger="rerun",
        trigger_node=model.trigger_node,
        rerun_of=model.id,
        rerun_from=from_node,
        node_total=node_total,
        priority=model.priority,
        labels=model.labels,
        started_by=by,
    )


async def _stored_input(resources: Resources, tenant: TenantId, version: CompiledVersion, order: Order) -> Value:
    data = check_input(version.spec, order.input)
    return await resources.values.store(tenant, data, resources.settings.limits.inline_output_bytes)


def _check_node(version: CompiledVersion, path: str) -> None:
    """Raises: ValidationFailed unless it is a node of the main graph."""
    main = {version.plan.nodes[index].path for index in version.plan.main.nodes}
    if path in main:
        return
    top = path.partition(".")[0]
    hint = f"a container runs whole: rerun from {top}" if top in main and top != path else "name a top-level node"
    issue = Issue("UNKNOWN_NODE", "from_node", f"there is no top-level node {path[:80]!r}", hint)
    raise ValidationFailed([issue], "the node is not valid")
