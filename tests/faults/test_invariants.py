"""Each invariant is broken once by hand, for a check that cannot fail proves nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest

from engine.contracts import idempotency_key
from engine.dag.digest import add_digests
from engine.dag.values import inline
from models.rows import NodeRow
from models.tables import Execution
from models.tenancy import mint_tenant
from tests.faults.effects import Call
from tests.faults.evidence import Acknowledgement, Evidence, History, Witnessed
from tests.faults.graph import NODES, expected
from tests.faults.invariants import violations
from tests.faults.kill_workers import kills_that_cut, recovery_times

N = 1000
NOW = datetime(2030, 1, 1, tzinfo=UTC)
TENANT = mint_tenant(uuid4())
ID = UUID("01900000-0000-7000-8000-000000000001")


def key(path: str) -> str:
    return idempotency_key(str(ID), path, (), 0)


def sound() -> Evidence:
    """The evidence of one execution in which nothing went wrong."""
    output, statuses, answers = expected(N)
    rows = [
        NodeRow(TENANT, ID, path, "http" if path in answers else "transform", status, attempts=int(status == "success"))
        for path, status in statuses.items()
    ]
    for row in rows:
        if row.node_path in answers:
            row.output = inline({"body": {"answer": answers[row.node_path]}})
    execution = Execution(
        tenant_id=TENANT.uuid, id=ID, workflow_id=uuid4(), version_id=uuid4(), workflow_name="w", status="success",
        finished_at=NOW, expected_count=NODES, expected_digest=add_digests(row.digest for row in rows),
    )  # fmt: skip
    calls = [Call(key(path), "PUT", f"/effect/{path}", "{}", 10.0, 10.1) for path in answers]
    history = History("completed", [Acknowledgement(key(path), 9.9, completed_at=10.2) for path in answers])
    return Evidence([Witnessed(execution, N, output, rows, history)], calls, [str(ID)], 0, 0)


def test_sound_evidence_has_no_violations() -> None:
    assert violations(sound()) == []


def fails(evidence: Evidence) -> None:
    evidence.witnessed[0].execution.status = "failed"


def never_ends(evidence: Evidence) -> None:
    evidence.witnessed[0].execution.finished_at = None


def gives_another_output(evidence: Evidence) -> None:
    evidence.witnessed[0].output = {**evidence.witnessed[0].output, "total": 1}


def records_another_answer(evidence: Evidence) -> None:
    row_of(evidence, "a0_call").output = inline({"body": {"answer": -1}})


def runs_on_in_temporal(evidence: Evidence) -> None:
    evidence.witnessed[0].history.status = "running"


def leaves_a_workflow_open(evidence: Evidence) -> None:
    evidence.open_in_temporal = 1


def fails_a_workflow_task(evidence: Evidence) -> None:
    evidence.witnessed[0].history.failed_workflow_tasks = 1


def loses_a_row(evidence: Evidence) -> None:
    evidence.witnessed[0].rows.pop()


def doubles_a_row(evidence: Evidence) -> None:
    evidence.witnessed[0].rows.append(replace(evidence.witnessed[0].rows[0]))


def records_another_generation(evidence: Evidence) -> None:
    evidence.witnessed[0].rows[0].generation = 1


def counts_a_lost_worker(evidence: Evidence) -> None:
    row_of(evidence, "a0_call").attempts = 2


def closes_with_another_count(evidence: Evidence) -> None:
    evidence.witnessed[0].execution.expected_count = NODES - 1


def calls_again_after_the_acknowledgement(evidence: Evidence) -> None:
    evidence.calls.append(replace(evidence.calls[0], started_at=10.3, ended_at=10.4))


def has_no_acknowledgement(evidence: Evidence) -> None:
    evidence.witnessed[0].history.nodes.pop()


def never_calls(evidence: Evidence) -> None:
    evidence.calls.pop()


def calls_what_was_pruned(evidence: Evidence) -> None:
    evidence.calls.append(replace(evidence.calls[0], key=key("even")))


def calls_without_a_key(evidence: Evidence) -> None:
    evidence.calls[0].key = ""


def changes_its_effect(evidence: Evidence) -> None:
    evidence.calls.append(replace(evidence.calls[0], started_at=10.05, body='{"n": 2}'))


def takes_an_answer_that_was_never_given(evidence: Evidence) -> None:
    evidence.calls[0].cut = True


def tells_of_its_end_twice(evidence: Evidence) -> None:
    evidence.closings.append(str(ID))


def keeps_its_quota(evidence: Evidence) -> None:
    evidence.held_quota = 1


def row_of(evidence: Evidence, path: str) -> NodeRow:
    return next(row for row in evidence.witnessed[0].rows if row.node_path == path)


@pytest.mark.parametrize(
    "spoil",
    [
        fails, never_ends, gives_another_output, records_another_answer, runs_on_in_temporal, leaves_a_workflow_open,
        fails_a_workflow_task, loses_a_row, doubles_a_row, records_another_generation, counts_a_lost_worker,
        closes_with_another_count, calls_again_after_the_acknowledgement, has_no_acknowledgement, never_calls,
        calls_what_was_pruned, calls_without_a_key, changes_its_effect, takes_an_answer_that_was_never_given,
        tells_of_its_end_twice, keeps_its_quota,
    ],
)  # fmt: skip
def test_what_goes_wrong_is_found(spoil: Callable[[Evidence], None]) -> None:
    evidence = sound()
    spoil(evidence)
    assert violations(evidence)


def test_a_repeat_before_the_acknowledgement_is_allowed() -> None:
    evidence = sound()
    evidence.calls.insert(0, replace(evidence.calls[0], started_at=9.0, ended_at=9.05, cut=True))
    assert violations(evidence) == []


def test_recovery_is_the_time_from_a_cut_to_the_next_call_of_its_key() -> None:
    first = Call("k", "PUT", "/", "", 1.0, 1.5, cut=True)
    again = Call("k", "PUT", "/", "", 12.0, 12.5)
    other = Call("o", "PUT", "/", "", 3.0, 3.5)
    assert recovery_times([first, other, again]) == [10.5]  # 12.0 - 1.5


def test_a_kill_counts_as_a_hit_if_a_call_ended_with_it() -> None:
    cut = Call("k", "PUT", "/", "", 1.0, 1.5, cut=True)
    assert kills_that_cut([cut], [1.45, 0.2, 3.0]) == 1
