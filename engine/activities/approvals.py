"""Approvals: what opening one finds, and the rows that show people what waits for them."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, cast
from uuid import UUID

from engine.activities.rows import moment
from engine.activities.runtime import ExecutionRuntime, Runtime
from engine.contracts import ApprovalRequest, NodeRequest, idempotency_key
from engine.dag.control.approval import ROLE, rejections_that_decide, voters
from engine.dag.values import Value
from engine.dag.work import Work
from engine.errors import BUDGET_EXCEEDED, INVALID_CONFIG, NodeError
from models.ids import id_of_fire
from models.repositories.approvals import Approvals
from models.rows import NodeRow
from models.tables import Approval
from models.tenancy import mint_tenant


async def asked(runtime: ExecutionRuntime, work: Work, path: str, opened: dict[str, Any], now: float) -> dict[str, Any]:
    """The state of an approval that opens now, by its rendered parameters; see `engine.dag.control.approval`.

    Raises: NodeError INVALID_CONFIG if too few people may decide; SystemFault.
    """
    meta, quorum = runtime.meta, int(opened["quorum"])
    starter = "" if opened["allow_self"] else str(meta.get("started_by", ""))
    people = voters(opened["approvers"], starter)
    if people is not None and people < quorum:
        raise _too_few(quorum, people, starter)
    key = idempotency_key(meta["execution_id"], path, work.iteration, work.generation)
    return {
        "id": str(id_of_fire(datetime.fromtimestamp(now, UTC), key)),
        "quorum": quorum,
        "rejections": rejections_that_decide(quorum, people),
        "until": now + opened["timeout_s"] if opened["timeout_s"] is not None else 0.0,
        "ask": await _stored(runtime, {"message": opened["message"], "form": opened["form"]}),
        "approvers": opened["approvers"],
        "allow_self": opened["allow_self"],
    }


def _too_few(quorum: int, people: int, starter: str) -> NodeError:
    reason = ", for the person who started the execution may not" if starter else ""
    return NodeError(
        f"approval: the quorum is {quorum} and {people} of the approvers may decide{reason}",
        code=INVALID_CONFIG,
        details={"parameter": "approvers", "quorum": quorum, "approvers": people},
    )


async def _stored(runtime: ExecutionRuntime, data: Any) -> Value:
    shared = runtime.shared
    return await shared.values.store(runtime.tenant, data, shared.inline_limit)


def awaits_people(error: Mapping[str, Any], request: NodeRequest) -> bool:
    """Whether a node failed over a budget that people may let it pass, and have not yet."""
    awaits = error.get("code") == BUDGET_EXCEEDED and error.get("details", {}).get("awaits") == "approval"
    return awaits and not request.budget_approved


async def asked_over_budget(runtime: ExecutionRuntime, request: NodeRequest, message: str) -> dict[str, Any]:
    """The state of the approval that such a node opens: an administrator decides, without an end.

    Raises: SystemFault.
    """
    opened = {
        "approvers": [f"{ROLE}admin"],
        "quorum": 1,
        "allow_self": True,
        "message": message,
        "form": None,
        "timeout_s": None,
    }
    work = Work("approval", request.node, tuple(request.iteration), request.generation)
    return await asked(runtime, work, request.path, opened, time.time())


async def record_approval(runtime: Runtime, request: ApprovalRequest, temporal_id: str) -> None:
    """Write the row of an approval as it stands; while it opens, its node shows as waiting.

    Raises: SystemFault if PostgreSQL or the object store does not answer.
    """
    tenant = mint_tenant(request.meta["tenant"])
    ask = cast("dict[str, Any]", await runtime.values.load(tenant, request.asked["ask"]))
    await Approvals(runtime.database).record(tenant, _row(request, ask, temporal_id))
    if request.status == "open" and not request.decisions:
        runtime.recorder.record(_waiting(request, runtime.worker))


def _row(request: ApprovalRequest, ask: dict[str, Any], temporal_id: str) -> Approval:
    meta, asked = request.meta, request.asked
    return Approval(
        tenant_id=UUID(meta["tenant"]),
        id=UUID(asked["id"]),
        execution_id=UUID(meta["execution_id"]),
        workflow_id=UUID(meta["workflow_id"]),
        workflow_name=meta["workflow_name"],
        temporal_id=temporal_id,
        node_path=request.path,
        iteration=request.iteration,
        generation=request.generation,
        execution_attempt=meta["attempt"],
        status=request.status,
        message=ask["message"],
        form=ask["form"],
        approvers=asked["approvers"],
        quorum=asked["quorum"],
        allow_self=asked["allow_self"],
        started_by=meta.get("started_by", ""),
        decisions=request.decisions,
        deadline=moment(asked["until"]),
        created_at=moment(request.opened_at) or datetime.now(UTC),
        closed_at=moment(request.closed_at),
    )


def _waiting(request: ApprovalRequest, worker: str) -> NodeRow:
    return NodeRow(
        tenant=mint_tenant(request.meta["tenant"]),
        execution_id=UUID(request.meta["execution_id"]),
        node_path=request.path,
        node_type=request.type,
        status="waiting",
        iteration=tuple(request.iteration),
        generation=request.generation,
        attempts=request.attempts,
        execution_attempt=request.meta["attempt"],
        started_at=moment(request.opened_at),
        worker=worker,
    )
