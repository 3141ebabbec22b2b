"""The invariants that hold after every fault run, each as a function from the evidence to what is wrong."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator

from engine.contracts import idempotency_key
from engine.dag.digest import add_digests, row_digest
from engine.dag.values import read
from models.rows import NodeKey
from tests.faults.effects import Call
from tests.faults.evidence import Evidence, Witnessed
from tests.faults.graph import NODES, expected

# Statuses of PostgreSQL and of Temporal that mean the same.
SAME_STATUS = {"success": "completed", "failed": "failed", "timed_out": "failed", "cancelled": "canceled"}


def violations(evidence: Evidence) -> list[str]:
    """Every sentence that says where an invariant does not hold; empty if all do."""
    return [problem for check in CHECKS for problem in check(evidence)]


def all_succeed(evidence: Evidence) -> Iterator[str]:
    for one in evidence.witnessed:
        if one.execution.status != "success" or one.execution.finished_at is None:
            yield f"{one.execution.id} is {one.execution.status}: {one.execution.error}"


def outputs_are_as_worked_out(evidence: Evidence) -> Iterator[str]:
    for one in evidence.witnessed:
        output, _, answers = expected(one.n)
        if one.output != output:
            yield f"{one.execution.id} gave {one.output} and not {output}"
        for row in one.rows:
            if row.node_path in answers and row.status == "success":
                answer = None if row.output is None else read(row.output)["body"]["answer"]
                if answer != answers[row.node_path]:
                    yield f"{row.node_path} of {one.execution.id} has {answer} and not {answers[row.node_path]}"


def temporal_agrees(evidence: Evidence) -> Iterator[str]:
    for one in evidence.witnessed:
        if SAME_STATUS.get(one.execution.status) != one.history.status:
            yield f"{one.execution.id} is {one.execution.status} on record and {one.history.status} in Temporal"
        if one.history.failed_workflow_tasks:
            yield f"{one.execution.id} has {one.history.failed_workflow_tasks} failed workflow tasks"
    if evidence.open_in_temporal:
        yield f"{evidence.open_in_temporal} Temporal workflows still run"


def each_row_exists_once(evidence: Evidence) -> Iterator[str]:
    for one in evidence.witnessed:
        _, statuses, _ = expected(one.n)
        counts = Counter(row.key for row in one.rows)
        yield from (f"{one.execution.id} has {key} {n} times" for key, n in counts.items() if n != 1)
        wanted: dict[NodeKey, str] = {(path, (), 0): status for path, status in statuses.items()}
        found: dict[NodeKey, str] = {row.key: row.status for row in one.rows}
        if found != wanted:
            differing = sorted(key[0] for key in {*found, *wanted} if found.get(key) != wanted.get(key))
            yield f"{one.execution.id}: rows differ at {[(path, found.get((path, (), 0))) for path in differing]}"
        yield from _counted_wrong(one)


def _counted_wrong(one: Witnessed) -> Iterator[str]:
    attempts = {row.node_path: row.attempts for row in one.rows if row.status == "success" and row.attempts != 1}
    if attempts:
        yield f"{one.execution.id}: a lost worker was counted as an attempt: {attempts}"
    digest = add_digests(
        row_digest(row.node_path, row.iteration, row.generation, row.status, row.attempts) for row in one.rows
    )
    closed_with = (one.execution.expected_count, one.execution.expected_digest)
    if closed_with != (NODES, digest):
        yield f"{one.execution.id} was closed with {closed_with}, its rows give {(NODES, digest)}"


def nothing_acknowledged_runs_again(evidence: Evidence) -> Iterator[str]:
    """No call starts after Temporal has the outcome of its node."""
    acknowledged = {
        node.key: node.completed_at
        for one in evidence.witnessed
        for node in one.history.nodes
        if node.completed_at is not None
    }
    for call in evidence.calls:
        at = acknowledged.get(call.key)
        if at is None:
            yield f"a call of {call.key or 'no key'} has no acknowledged outcome"
        elif call.started_at > at:
            yield f"{call.key} was called {call.started_at - at:.3f} s after its outcome was acknowledged"


def each_node_acted(evidence: Evidence) -> Iterator[str]:
    """Every node that calls did so, once or more, always with one and the same effect."""
    by_key: dict[str, list[Call]] = defaultdict(list)
    for call in evidence.calls:
        by_key[call.key].append(call)
    wanted = {
        idempotency_key(str(one.execution.id), path, (), 0) for one in evidence.witnessed for path in expected(one.n)[2]
    }
    yield from (f"{key} never took effect" for key in sorted(wanted - by_key.keys()))
    yield from (f"{key} took effect and should not have" for key in sorted(by_key.keys() - wanted))
    for key, calls in by_key.items():
        if len({call.effect for call in calls}) != 1:
            yield f"{key} had different effects: {calls}"
        if all(call.cut for call in calls):
            yield f"{key} was never answered"


def nothing_is_left_behind(evidence: Evidence) -> Iterator[str]:
    ids = {str(one.execution.id) for one in evidence.witnessed}
    if Counter(evidence.closings) != Counter(ids):
        yield f"{len(evidence.closings)} messages of an end for {len(ids)} executions"
    if evidence.held_quota:
        yield f"the quota counters stand at {evidence.held_quota}"


CHECKS: tuple[Callable[[Evidence], Iterator[str]], ...] = (
    all_succeed,
    outputs_are_as_worked_out,
    temporal_agrees,
    each_row_exists_once,
    nothing_acknowledged_runs_again,
    each_node_acted,
    nothing_is_left_behind,
)
