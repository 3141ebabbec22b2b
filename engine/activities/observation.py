"""Executions and nodes as metrics and spans: seen where the record is written, and around each activity.

Rows count when they are committed, a whole batch at a time and off the critical path, so that every kind of node is
counted in one place. A row that has to be committed again, after a crash between commit and answer, counts again.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from hashlib import blake2b
from typing import Any
from uuid import UUID

from temporalio.exceptions import ApplicationError

from engine.contracts import NodeRequest
from engine.dag.catalogue import NodeCatalogue
from engine.dag.plan import PlanNode
from engine.telemetry import metrics
from engine.telemetry.context import Bound, binding, execution_bound, root_span
from engine.telemetry.tracing import SPAN_EXECUTION, SPAN_NODE, SPAN_REGION, Span, Tracing, tracing
from models.ids import time_of_id
from models.rows import TERMINAL_NODE_STATUSES, NodeRow

_ENDED = frozenset(TERMINAL_NODE_STATUSES)
_RAN = frozenset({"success", "failed", "skipped"})


class Observation:
    """What the recorder tells of rows that are committed."""

    def __init__(self, catalogue: NodeCatalogue) -> None:
        self._catalogue = catalogue

    def rows(self, rows: Sequence[NodeRow], age_s: float) -> None:
        """Count rows, the oldest of which had waited `age_s` for its commit; trace those of nodes in regions."""
        metrics.RECORDED_ROWS.inc(len(rows))
        metrics.RECORDER_LAG.observe(age_s)
        for row in rows:
            if row.status in _ENDED:
                self._count(row)
            elif row.status == "retrying":
                metrics.NODE_RETRIES.add((row.node_type,))
        if (active := tracing()) is not None:
            for row in rows:
                self._trace(active, row)

    def _count(self, row: NodeRow) -> None:
        metrics.NODE_EXECUTIONS.add((row.node_type, row.status))
        if row.duration_ms is not None:
            metrics.NODE_DURATION.observe((row.node_type,), row.duration_ms / 1000)
        if row.status == "failed" and row.error is not None:
            metrics.NODE_ERRORS.add((row.node_type, metrics.known(str(row.error.get("code")), metrics.CODES)))

    def _trace(self, active: Tracing, row: NodeRow) -> None:
        """A span for what has no activity of its own: local nodes, containers, delays, approvals, children."""
        known = self._catalogue.get(row.node_type)
        if row.status not in _RAN or row.started_at is None or (known is not None and known.kind == "io"):
            return
        trace = row.execution_id.int
        began = row.started_at.timestamp()
        ended = began if row.finished_at is None else row.finished_at.timestamp()
        facts = _facts(row.node_path, row.iteration, row.generation, row.attempts)
        facts |= {"structforge.node.status": row.status, "structforge.node.type": row.node_type}
        facts["structforge.node.cached"] = row.cached or None
        failed = None if row.error is None else str(row.error.get("code"))
        span = span_of_row(row)
        active.emit(
            Span(f"{SPAN_NODE} {row.node_type}", trace, span, root_span(trace), began, ended, "internal", facts, failed)
        )


def span_of_row(row: NodeRow) -> int:
    """The same for each commit of a row, so that one that is repeated is no second span."""
    key = f"{row.execution_id} {row.node_path} {row.iteration} {row.generation} {row.execution_attempt}"
    return int.from_bytes(blake2b(key.encode(), digest_size=8).digest(), "big") or 1


@contextmanager
def node_attempt(meta: Mapping[str, Any], node: PlanNode, request: NodeRequest) -> Generator[Bound]:
    """Bind log lines, outgoing calls and libraries' spans to one attempt of an I/O node, and trace it."""
    with binding(execution_bound(meta["tenant"], meta["execution_id"], request.path)) as work:
        active = tracing()
        if active is None:
            yield work
            return
        facts = _facts(request.path, request.iteration, request.generation, None)
        facts["structforge.node.type"] = node.type
        with _traced(active, work, f"{SPAN_NODE} {node.type}", facts):
            try:
                yield work
            finally:
                facts["structforge.node.attempt"] = work.attempt


@contextmanager
def region_run(meta: Mapping[str, Any]) -> Generator[Bound]:
    """The same for a run of a region."""
    metrics.REGIONS.add(())
    with binding(execution_bound(meta["tenant"], meta["execution_id"])) as work:
        active = tracing()
        if active is None:
            yield work
            return
        with _traced(active, work, SPAN_REGION, {}):
            yield work


@contextmanager
def of_execution(meta: Mapping[str, Any]) -> Generator[None]:
    """Bind log lines to an execution."""
    with binding(execution_bound(meta["tenant"], meta["execution_id"])) as work:
        work.span = root_span(work.trace)
        yield


@contextmanager
def _traced(active: Tracing, work: Bound, name: str, facts: dict[str, Any]) -> Generator[None]:
    began, failed = time.time(), None
    token = active.attach(work)
    try:
        yield
    except ApplicationError as error:
        failed = error.type or "INTERNAL"
        raise
    except BaseException as error:
        failed = type(error).__name__
        raise
    finally:
        active.detach(token)
        root = root_span(work.trace)
        active.emit(Span(name, work.trace, work.span, root, began, time.time(), "internal", facts, failed))


def execution_ended(meta: Mapping[str, Any], status: str, finished_at: datetime, code: str | None = None) -> None:
    """Count an execution that this process closed, and send the span that all others of its trace stand under."""
    trigger = metrics.known(str(meta["trigger"]), metrics.TRIGGERS)
    metrics.EXECUTIONS_FINISHED.labels(status, trigger).inc()
    metrics.EXECUTION_DURATION.labels(status).observe(max(0.0, finished_at.timestamp() - meta["started_at"]))
    active = tracing()
    if active is None:
        return
    identifier = UUID(meta["execution_id"])
    trace = identifier.int
    facts = {
        "structforge.tenant": meta["tenant"],
        "structforge.execution.id": meta["execution_id"],
        "structforge.execution.attempt": meta["attempt"],
        "structforge.status": status,
        "structforge.trigger": meta["trigger"],
        "structforge.workflow.id": meta["workflow_id"],
        "structforge.workflow": meta["workflow_name"],
    }
    # The id holds the time at which it was made, before anything else of the trace began.
    began = min(time_of_id(identifier).timestamp(), meta["started_at"])
    failed = None if status == "success" else code or status.upper()
    active.emit(
        Span(SPAN_EXECUTION, trace, root_span(trace), 0, began, finished_at.timestamp(), "internal", facts, failed)
    )


def _facts(path: str, iteration: Sequence[int], generation: int, attempt: int | None) -> dict[str, Any]:
    return {
        "structforge.node.path": path,
        "structforge.node.iteration": ".".join(map(str, iteration)) or None,
        "structforge.node.generation": generation or None,
        "structforge.node.attempt": attempt,
    }
