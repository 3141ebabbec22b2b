"""What a rerun keeps of the execution it repeats: outcomes of the top-level nodes that do not run again."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Iterable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from engine.activities.clients.objects import Values
from engine.dag.compile import PASS_UPSTREAM
from engine.dag.frame import NodeState
from engine.dag.plan import Plan, PlanNode
from engine.dag.values import NULL, Value, mapping, wire_size
from models.repositories.node_executions import NodeExecutions
from models.rows import NodeKey, NodeRow
from models.session import Database
from models.tables import Execution
from models.tenancy import TenantId

MAX_SEED_BYTES = 1_000_000  # the Temporal workflow holds it in memory
KEPT = "kept"
_PAGE_ROWS = 1000
_MIN_STORED_BYTES = 400  # below that a reference saves nothing
Kept = list[tuple[int, NodeState]]
_NEVER = datetime.max.replace(tzinfo=UTC)


async def seed_of(
    database: Database, tenant: TenantId, execution: Execution, plan: Plan, *, values: Values | None = None
) -> list[list[Any]]:
    """Kept states in completion order as `[node index, *NodeState.to_wire()]`, for `ExecutionInput.seed`.

    `execution` is the rerun. With `values`, large outputs go to the object store once all are over `MAX_SEED_BYTES`.
    """
    assert execution.rerun_of is not None
    assert execution.rerun_from is not None
    rows = [row async for row in _top_level_rows(NodeExecutions(database), tenant, execution.rerun_of, plan)]
    kept = kept_states(plan, rows, execution.rerun_from, execution.input or NULL)
    if values is not None:
        await _shrink(tenant, kept, values)
    return [[index, *state.to_wire()] for index, state in kept]


def kept_states(plan: Plan, rows: Iterable[NodeRow], from_node: str, upstream: Value) -> Kept:
    """Settled top-level nodes that are neither `from_node` nor behind it, in completion order.

    `upstream` is what the entry nodes of the graph received. A node without a settled outcome runs again, and so does
    one whose failure ended the execution.
    """
    again = {from_node, *descendants(plan, from_node)}
    latest: dict[str, NodeRow] = {}
    for row in rows:
        known = latest.get(row.node_path)
        if known is None or (row.execution_attempt, row.generation) > (known.execution_attempt, known.generation):
            latest[row.node_path] = row
    wanted = [row for path, row in latest.items() if path not in again and _is_settled(row)]
    wanted.sort(key=lambda row: (row.finished_at or _NEVER, row.seq))
    states: dict[int, NodeState] = {}
    for row in wanted:
        node = plan.by_path[row.node_path]
        states[node.index] = _state(plan, node, row, states, upstream)
    return list(states.items())


def descendants(plan: Plan, path: str) -> set[str]:
    """Paths of the nodes that edges lead to from a top-level node, at any distance."""
    edges = plan.main.edges
    found: set[int] = set()
    queue = [plan.by_path[path].index]
    for index in queue:
        for number in plan.nodes[index].outgoing:
            target = edges[number][2]
            if target not in found:
                found.add(target)
                queue.append(target)
    return {plan.nodes[index].path for index in found}


async def _top_level_rows(
    nodes: NodeExecutions, tenant: TenantId, execution_id: UUID, plan: Plan
) -> AsyncGenerator[NodeRow]:
    main = {plan.nodes[index].path for index in plan.main.nodes}
    after: NodeKey | None = None
    while True:
        page = await nodes.list(tenant, execution_id, after=after, limit=_PAGE_ROWS)
        for row in page:
            if row.node_path in main and not row.iteration:
                yield row
        if len(page) < _PAGE_ROWS:
            return
        after = page[-1].key


def _is_settled(row: NodeRow) -> bool:
    return row.status in ("success", "skipped", "pruned") or (row.status == "failed" and row.port is not None)


def _state(plan: Plan, node: PlanNode, row: NodeRow, states: dict[int, NodeState], upstream: Value) -> NodeState:
    state = NodeState(0)
    state.status = row.status
    # The result of a graph leaves out nodes that `when` skipped; only their reason tells them apart.
    state.reason = row.reason if row.status == "skipped" else KEPT
    state.output = row.output or NULL
    state.port = row.port
    state.error = row.error
    state.attempts = row.attempts
    state.assigned = row.assigned
    state.started_at = row.started_at.timestamp() if row.started_at else 0.0
    state.finished_at = row.finished_at.timestamp() if row.finished_at else 0.0
    if node.type in PASS_UPSTREAM and row.status == "success" and row.reason != "operator":
        state.data = _received(plan, node, states, upstream)
    return state


def _received(plan: Plan, node: PlanNode, states: dict[int, NodeState], upstream: Value) -> Value:
    """The upstream output of a node, from the states of those before it."""
    if not node.incoming:
        return upstream
    edges = [plan.main.edges[number] for number in node.incoming]
    live = [source for source, port, _ in edges if source in states and states[source].port == port]
    if node.join_any:
        live = sorted(live, key=lambda source: states[source].finished_at)[:1]
    if not live:
        return NULL
    if len(live) == 1:
        return states[live[0]].port_data
    return mapping({plan.nodes[source].id: states[source].port_data for source in live})


async def _shrink(tenant: TenantId, kept: Kept, values: Values) -> None:
    """Store the largest outputs until the seed is small enough."""
    total = sum(_bytes(state) for _, state in kept)
    for _, state in sorted(kept, key=lambda item: -_bytes(item[1])):
        if total <= MAX_SEED_BYTES or _bytes(state) < _MIN_STORED_BYTES:
            return
        total -= _bytes(state)
        state.output = await _stored(tenant, state.output, values)
        if state.data is not None:
            state.data = await _stored(tenant, state.data, values)
        if state.assigned:
            state.assigned = {name: await _stored(tenant, value, values) for name, value in state.assigned.items()}
        total += _bytes(state)


async def _stored(tenant: TenantId, value: Value, values: Values) -> Value:
    if wire_size(value) < _MIN_STORED_BYTES or "r" in value:
        return value
    return await values.store(tenant, await values.load(tenant, value), inline_limit=0)


def _bytes(state: NodeState) -> int:
    size = 80 + wire_size(state.output) + sum(wire_size(value) for value in (state.assigned or {}).values())
    size += wire_size(state.data) if state.data is not None else 0
    return size + (len(json.dumps(state.error)) if state.error else 0)
