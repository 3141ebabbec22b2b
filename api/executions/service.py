"""What the execution routes read."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from api.executions.data import Allowance, shown_data
from api.executions.schemas import ExecutionDetail, ExecutionReply, NodeExecutionReply, NodeUsage
from api.executions.usage import usage_of_nodes
from api.resources import Resources
from models.repositories.executions import Executions
from models.repositories.node_executions import NodeExecutions
from models.rows import TERMINAL_EXECUTION_STATUSES, NodeKey, NodeRow
from models.tables import Execution
from models.tenancy import TenantId


async def get_execution(resources: Resources, tenant: TenantId, execution_id: UUID, *, full: bool) -> ExecutionDetail:
    """Raises: NotFound."""
    execution = await Executions(resources.database).get(tenant, execution_id)
    return await detail_of(resources, tenant, execution, full=full)


async def detail_of(
    resources: Resources, tenant: TenantId, execution: Execution, *, full: bool = False
) -> ExecutionDetail:
    """An execution with its data and counts of its nodes."""
    allowance = Allowance.of(full=full)
    output = await shown_data(resources, tenant, "output", execution.output, allowance)
    given = await shown_data(resources, tenant, "input", execution.input, allowance)
    nodes = await _node_counts(resources, tenant, execution)
    return ExecutionDetail(**_members(execution), **given, **output, nodes=nodes)


async def fresh_detail(resources: Resources, tenant: TenantId, execution: Execution) -> ExecutionDetail:
    """The same for an execution that was made just now: there is nothing to count yet."""
    given = await shown_data(resources, tenant, "input", execution.input, Allowance.of(full=False))
    return ExecutionDetail(**_members(execution), **given)


def reply_of(execution: Execution) -> ExecutionReply:
    """An execution without its data."""
    return ExecutionReply(**_members(execution))


async def list_nodes(
    resources: Resources,
    tenant: TenantId,
    execution_id: UUID,
    *,
    path: str | None,
    status: str | None,
    after: NodeKey | None,
    limit: int,
    full: bool,
) -> tuple[list[NodeExecutionReply], NodeKey | None]:
    """A page of node executions by path, iteration and generation, and where the next begins. Raises: NotFound."""
    await Executions(resources.database).get(tenant, execution_id)
    rows = await NodeExecutions(resources.database).list(
        tenant, execution_id, node_path=path, status=status, after=after, limit=limit + 1
    )
    allowance = Allowance.of(full=full)
    used = await usage_of_nodes(resources, tenant, execution_id, rows[:limit])
    items = [await _node_reply(resources, tenant, row, allowance, used.get(row.key)) for row in rows[:limit]]
    return items, rows[limit - 1].key if len(rows) > limit else None


async def _node_reply(
    resources: Resources, tenant: TenantId, row: NodeRow, allowance: Allowance, usage: NodeUsage | None
) -> NodeExecutionReply:
    return NodeExecutionReply(
        **node_members(row),
        usage=usage,
        **await shown_data(resources, tenant, "input", row.input, allowance),
        **await shown_data(resources, tenant, "output", row.output, allowance),
    )


def node_members(row: NodeRow) -> dict[str, Any]:
    """A node execution as a reply has it, without its data and what it used."""
    renamed = {"path": row.node_path, "type": row.node_type, "iteration": list(row.iteration)}
    return renamed | {name: getattr(row, name) for name in _NODE_MEMBERS}


async def _node_counts(resources: Resources, tenant: TenantId, execution: Execution) -> dict[str, int]:
    """From the live view while it runs, else from the record."""
    if execution.status not in TERMINAL_EXECUTION_STATUSES and resources.live is not None:
        live = await resources.live.execution(tenant, execution.id)
        if live is not None and live.nodes:
            return live.nodes
    return await NodeExecutions(resources.database).counts(tenant, execution.id)


def _members(execution: Execution) -> dict[str, Any]:
    stored = (name for name in ExecutionReply.model_fields if name != "trace_id")
    members = {name: getattr(execution, _SOURCES.get(name, name)) for name in stored}
    return {**members, "trace_id": execution.id.hex}


_SOURCES = {"metadata": "labels"}
_NODE_MEMBERS = (
    "generation", "status", "reason", "attempts", "lost", "execution_attempt", "port", "error", "started_at",
    "finished_at", "duration_ms", "worker", "cached", "seq",
)  # fmt: skip
