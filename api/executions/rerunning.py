"""Reruns: a new execution that keeps what its model has reached before a node."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from api.executions.starting import Order, choose_trigger, id_of_trace, launch_row, published_version
from api.resources import Resources
from engine.activities.seeding import descendants
from engine.activities.startable import check_startable
from engine.activities.starting import CompiledVersion
from engine.dag.inputs import check_input
from engine.dag.values import Value
from engine.errors import Conflict, Issue, ValidationFailed
from models.repositories.executions import Created, Executions, NewExecution
from models.repositories.node_executions import NodeExecutions
from models.repositories.workflows import Workflows
from models.rows import TERMINAL_EXECUTION_STATUSES
from models.tables import Execution
from models.tenancy import TenantId


async def rerun(
    resources: Resources,
    tenant: TenantId,
    execution_id: UUID,
    from_node: str | None,
    order: Order,
    *,
    new_input: bool = False,
    number: int | None = None,
) -> Created:
    """Start an execution that repeats another from `from_node` on, or whole; with the old input unless `new_input`.

    With `number` it runs that version of the workflow. What is kept must have its place there.
    Raises: NotFound; Conflict (EXECUTION_RUNNING) before the model's end, or as a start (WORKFLOW_ARCHIVED,
    WORKFLOW_PAUSED); ValidationFailed.
    """
    model = await Executions(resources.database).get(tenant, execution_id)
    if model.status not in TERMINAL_EXECUTION_STATUSES:
        raise Conflict("the execution has not ended: cancel it or wait", code="EXECUTION_RUNNING")
    check_startable(await Workflows(resources.database).get(tenant, model.workflow_id))
    version = await resources.versions.get(tenant, model.version_id)
    other = version if number is None else await published_version(resources, tenant, model.workflow_id, number)
    if from_node is not None:
        _check_node(other, from_node)
    given = model.input
    if new_input:
        given = await _stored_input(resources, tenant, other, order.input)
    elif other.id != version.id:
        old = None if model.input is None else await resources.values.load(tenant, model.input)
        given = await _stored_input(resources, tenant, other, old)
    trigger = model.trigger_node
    if other.id != version.id:
        chosen = choose_trigger(other.plan, trigger)
        trigger = None if chosen is None else chosen.path
        if from_node is not None:
            await _check_fits(resources, tenant, model, version, other, from_node)
    new = _new_execution(model, other, from_node, given, trigger, order.by)
    created = await Executions(resources.database).create_execution(tenant, new, request=order.once("rerun"))
    if created.is_new:
        await launch_row(resources, tenant, created.execution)
    return created


def _new_execution(
    model: Execution,
    version: CompiledVersion,
    from_node: str | None,
    given: Value | None,
    trigger_node: str | None,
    by: str,
) -> NewExecution:
    return NewExecution(
        id=id_of_trace(),
        workflow_id=model.workflow_id,
        version_id=version.id,
        workflow_name=version.workflow_name,
        input=given,
        trigger="rerun",
        trigger_node=trigger_node,
        rerun_of=model.id,
        rerun_from=from_node,
        node_total=len(version.plan.nodes),
        priority=model.priority,
        labels=model.labels,
        started_by=by,
    )


async def _stored_input(resources: Resources, tenant: TenantId, version: CompiledVersion, given: Any) -> Value:
    data = check_input(version.spec, given)
    return await resources.values.store(tenant, data, resources.settings.limits.inline_output_bytes)


async def _check_fits(
    resources: Resources,
    tenant: TenantId,
    model: Execution,
    old: CompiledVersion,
    new: CompiledVersion,
    from_node: str,
) -> None:
    """Raises: ValidationFailed naming every outcome that would be kept and has no place in the other version."""
    again = {from_node, *descendants(new.plan, from_node)}
    issues: list[Issue] = []
    nodes = NodeExecutions(resources.database)
    for path in (old.plan.nodes[index].path for index in old.plan.main.nodes):
        if path in again or _type_of(new, path) == old.plan.by_path[path].type:
            continue
        rows = await nodes.list(tenant, model.id, node_path=path)
        if any(row.status in ("success", "skipped", "failed") for row in rows):
            issues.append(_unfit(path, old, new))
    if issues:
        raise ValidationFailed(issues, f"version {new.number} has no place for what is kept")


def _type_of(version: CompiledVersion, path: str) -> str | None:
    """The type of a top-level node, None if there is no such node."""
    node = version.plan.by_path.get(path)
    return node.type if node is not None and node.index in version.plan.main.nodes else None


def _unfit(path: str, old: CompiledVersion, new: CompiledVersion) -> Issue:
    there = _type_of(new, path)
    what = "has no such node" if there is None else f"has a node of type {there} there"
    message = f"node {path} ({old.plan.by_path[path].type}) would keep its outcome, and version {new.number} {what}"
    return Issue("UNFIT_OUTCOME", "version", message, "rerun from a node before it, or whole")


def _check_node(version: CompiledVersion, path: str) -> None:
    """Raises: ValidationFailed unless it is a node of the main graph."""
    main = {version.plan.nodes[index].path for index in version.plan.main.nodes}
    if path in main:
        return
    top = path.partition(".")[0]
    hint = f"a container runs whole: rerun from {top}" if top in main and top != path else "name a top-level node"
    issue = Issue("UNKNOWN_NODE", "from_node", f"there is no top-level node {path[:80]!r}", hint)
    raise ValidationFailed([issue], "the node is not valid")
