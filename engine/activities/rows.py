"""Node executions of the pure core and of the wire as rows of the record."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from engine.dag.state import Settled
from models.rows import Message, NodeRow
from models.tenancy import TenantId, mint_tenant


def moment(seconds: float) -> datetime | None:
    """Seconds since the epoch as a time in UTC; 0 is none."""
    return datetime.fromtimestamp(seconds, UTC) if seconds else None


def duration_ms(started_at: float, finished_at: float) -> float | None:
    return max(0.0, (finished_at - started_at) * 1000) if started_at and finished_at else None


def row_of_settled(
    settled: Settled, tenant: TenantId, execution_id: UUID, meta: dict[str, Any], worker: str
) -> NodeRow:
    """The row of a node execution that has ended in a region."""
    node, state = settled.node, settled.state
    return NodeRow(
        tenant=tenant,
        execution_id=execution_id,
        node_path=node.path,
        node_type=node.type,
        status=state.status,
        iteration=settled.iteration,
        generation=state.generation,
        reason=state.reason,
        attempts=state.attempts,
        execution_attempt=meta["attempt"],
        port=state.port,
        started_at=moment(state.started_at),
        finished_at=moment(state.finished_at),
        duration_ms=duration_ms(state.started_at, state.finished_at),
        output=state.output,
        error=state.error,
        assigned=state.assigned,
        worker=worker,
    )


def finished_message(meta: dict[str, Any], status: str) -> Message:
    """What the outbox tells of an execution that has ended."""
    payload = {"execution_id": meta["execution_id"], "workflow_id": meta["workflow_id"], "status": status}
    return Message("execution.finished", payload)


def row_of_wire(wire: list[Any], meta: dict[str, Any]) -> NodeRow:
    """The row of a node execution that the interpreter sent (`engine.workflows.ledger` makes the list)."""
    return NodeRow(
        tenant=mint_tenant(meta["tenant"]),
        execution_id=UUID(meta["execution_id"]),
        node_path=wire[0],
        node_type=wire[1],
        status=wire[2],
        iteration=tuple(wire[3]),
        generation=wire[4],
        reason=wire[5],
        attempts=wire[6],
        execution_attempt=wire[7],
        port=wire[8],
        started_at=moment(wire[9]),
        finished_at=moment(wire[10]),
        duration_ms=duration_ms(wire[9], wire[10]),
        output=wire[11],
        error=wire[12],
        assigned=wire[13],
    )
