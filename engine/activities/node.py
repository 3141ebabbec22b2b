"""One node as one activity: attempts, timeout, heartbeats, and what a lost worker means.

Attempts are counted in the record, not by Temporal, which counts lost workers too. A node that may not simply run
twice is marked as begun before it runs; if its worker dies, the outcome is unknown and it fails. A try that hands its
work back, because its worker stops or our own servers do not answer, says so in its last heartbeat: nothing was lost.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any
from uuid import UUID

from temporalio import activity

from engine.activities.approvals import asked_over_budget, awaits_people
from engine.activities.closing import close_as_success
from engine.activities.evaluation import Evaluation
from engine.activities.failures import final_failure, next_attempt, system_fault, worker_leaves
from engine.activities.heartbeat import Heartbeats
from engine.activities.observation import node_attempt
from engine.activities.program import NodeProgram
from engine.activities.rows import duration_ms, moment, row_of_wire
from engine.activities.runtime import ExecutionRuntime
from engine.activities.task import Task, input_of, log_of
from engine.contracts import NodeRequest
from engine.dag.outcome import TERMINAL, Outcome
from engine.dag.plan import PlanNode
from engine.dag.retry import next_delay_s
from engine.dag.state import resolve_failure
from engine.dag.values import NULL, Value, mapping
from engine.dag.work import Work
from engine.errors import EXECUTION_FAILED, OUTCOME_UNKNOWN, RATE_LIMITED, NodeError, SystemFault
from engine.nodes.receipt import Receipt
from engine.telemetry.context import bound
from models.rows import Attempts, NodeRow

MAX_LOST_WORKERS = 3
_log = logging.getLogger(__name__)


class NodeRun:
    """One attempt of one node execution."""

    def __init__(self, runtime: ExecutionRuntime, request: NodeRequest) -> None:
        self._runtime = runtime
        self._request = request
        self._node: PlanNode = runtime.program.plan.nodes[request.node]
        self._used = request.attempts  # attempts that have failed
        self._lost = request.lost
        self._handed_back, clean = _last_words()  # of the try before this one
        self._clean = clean or (activity.info().attempt == 1 and not request.again)  # no try may have been cut off
        self._started_at = time.time()
        self._receipt: Receipt | None = None
        self._task: Task | None = None
        self._input: Value | None = None

    async def run(self) -> list[Any]:
        """The outcome of a node that succeeded or was skipped, in its wire form.

        Raises: ApplicationError for an attempt that failed; it says whether Temporal tries again.
        """
        # From the start: while PostgreSQL does not answer, this worker is waiting and not lost.
        with (
            Heartbeats(self._runtime.shared.heartbeats),
            node_attempt(self._runtime.meta, self._node, self._request),
        ):
            return await self._run_or_hand_back()

    async def _run_or_hand_back(self) -> list[Any]:
        try:
            return await self._run()
        except SystemFault as fault:
            self._hand_back()
            raise system_fault(fault) from None
        except asyncio.CancelledError:
            if activity.is_worker_shutdown():
                self._hand_back()
                raise worker_leaves() from None
            raise
        finally:
            if self._receipt is not None:
                await self._receipt.release()

    async def _run(self) -> list[Any]:
        known = await self._look_up()
        if known is not None:
            return known.to_wire()
        await self._mark_begun()
        self._clean = False
        shown = self._runtime.shared.shown.set(self._show_running)
        try:
            outcome = await self._attempt()
        finally:
            shown.cancel()
        if outcome.status == "failed":
            await self._fail(outcome)
        self._record(outcome.status, outcome)
        await self._close(outcome)
        await self._acknowledge(outcome)
        return outcome.to_wire()

    async def _acknowledge(self, outcome: Outcome) -> None:
        """Let go of what the node received, once its outcome cannot be lost any more."""
        if self._receipt is None:
            return
        if not outcome.closed:
            await self._runtime.shared.recorder.record_now([self._row(outcome.status, outcome)])
        try:
            await self._receipt.acknowledge()
        except NodeError as error:
            # The outcome stands; whoever handed it out will hand it out again.
            _log.warning("what %s received was not acknowledged: %s", self._node.path, error.message)

    async def _close(self, outcome: Outcome) -> None:
        """Close the record of the execution if this node was all that was left of it."""
        closing = self._request.closing
        if closing is None or outcome.status != "success" or activity.is_cancelled():
            return
        for row in closing["rows"]:
            self._runtime.shared.recorder.record(row_of_wire(row, self._runtime.meta))
        leaves: dict[str, Value] = dict(closing["leaves"])
        if not self._node.outgoing:
            leaves[self._node.id] = outcome.output
        plan = self._runtime.program.plan
        output = mapping({leaf.id: leaves[leaf.id] for leaf in plan.leaves(plan.main) if leaf.id in leaves})
        outcome.closed = await close_as_success(self._runtime, closing, [self._row("success", outcome)], output)

    def _hand_back(self) -> None:
        activity.heartbeat(activity.info().attempt, self._clean)

    # ---- what the record knows of earlier tries

    async def _look_up(self) -> Outcome | None:
        """Learn from the record what earlier tries came to; an outcome that was committed is the outcome."""
        if activity.info().attempt == 1 and not self._request.again:
            return None
        request, shared = self._request, self._runtime.shared
        known = await shared.recorder.node_attempts(
            self._runtime.tenant,
            UUID(self._runtime.meta["execution_id"]),
            request.path,
            tuple(request.iteration),
            request.generation,
        )
        if known is None or known.execution_attempt != self._runtime.meta["attempt"]:
            # A try that is not the first leaves a mark before it runs, so this can be behind one loss at most.
            self._lost, self._clean = self._lost_before(), True
            return None
        if known.status in TERMINAL:
            return self._outcome_on_record(known)
        if known.status == "retrying":
            self._used, self._lost, self._clean = known.attempts, known.lost, True
        elif known.status == "running":
            self._after_loss(known)
        return None

    def _outcome_on_record(self, known: Attempts) -> Outcome | None:
        """What was committed stands. A node that touches nothing outside runs again, for what its port carries."""
        self._used = max(known.attempts - 1, 0)
        if known.error is not None:
            raise final_failure(Outcome("failed", error=known.error, attempts=known.attempts))
        if known.status != "success" or self._program().type.kind != "io":
            return None
        outcome = Outcome("success", output=known.output or NULL, port=known.port, attempts=known.attempts)
        outcome.assigned = known.assigned
        return outcome

    def _lost_before(self) -> int:
        return 0 if self._request.again or self._handed_back else 1

    def _after_loss(self, known: Attempts) -> None:
        """A try ended under the node: an idempotent one runs again uncounted, any other only by its policy."""
        self._used, self._lost = known.attempts - 1, known.lost + self._lost_before()
        self._refuse_if_lost_often()
        if self._clean or self._is_idempotent():
            return
        self._used += 1
        policy = self._node.retry
        if policy is None or self._used >= policy.max_attempts:
            self._raise_final(
                NodeError(
                    "the worker was lost while the node ran; whether it took effect is not known",
                    code=OUTCOME_UNKNOWN,
                    details={"attempt": known.attempts},
                )
            )

    def _refuse_if_lost_often(self) -> None:
        if self._lost >= MAX_LOST_WORKERS:
            self._raise_final(
                NodeError(
                    f"{self._lost} workers were lost while they ran this node",
                    code=EXECUTION_FAILED if self._is_idempotent() else OUTCOME_UNKNOWN,
                    details={"lost": self._lost},
                )
            )

    def _is_idempotent(self) -> bool:
        program = self._program()
        return program.type.idempotent(program.spec.params)

    def _program(self) -> NodeProgram:
        return self._runtime.program.node(self._node.index)

    def _show_running(self) -> None:
        """Let people see that the node runs."""
        row = self._row("running", None)
        row.attempts, row.lost = self._used + 1, self._lost
        self._runtime.shared.recorder.record(row)

    async def _mark_begun(self) -> None:
        """Put the attempt on record before it runs, unless it may simply run again."""
        if self._is_idempotent() and self._lost == 0 and activity.info().attempt == 1:
            return
        row = self._row("running", None)
        row.attempts, row.lost = self._used + 1, self._lost
        await self._runtime.shared.recorder.record_now([row])

    # ---- the attempt

    async def _attempt(self) -> Outcome:
        request = self._request
        work = Work("node", request.node, tuple(request.iteration), request.generation)
        task = Task(work, request.scope, attempt=self._used + 1, budget_approved=request.budget_approved)
        self._task = task
        if (bound_to := bound()) is not None:
            bound_to.attempt = task.attempt
        try:
            await Evaluation(self._runtime, request.inline_limit).run([task])
        finally:
            self._receipt = task.receipt
        self._input = await input_of(self._runtime, task, request.inline_limit)
        outcome = task.outcome
        assert outcome is not None
        _log.debug("attempt %d of %s came to %s", task.attempt, request.path, outcome.status)
        if outcome.status != "skipped":
            outcome.attempts = self._used + 1
        self._started_at = outcome.started_at or self._started_at
        return outcome

    async def _fail(self, outcome: Outcome) -> None:
        """Try again by the policy, or fail for good. Always raises ApplicationError."""
        error = outcome.error or {}
        if awaits_people(error, self._request):
            outcome.opened = await asked_over_budget(self._runtime, self._request, str(error["message"]))
            raise final_failure(outcome)  # nothing is recorded: whether it fails is for people to say
        policy, attempts = self._node.retry, outcome.attempts
        if policy is not None and error.get("retryable") and attempts < policy.max_attempts:
            delay_s = next_delay_s(policy, attempts)
            if error.get("code") in (RATE_LIMITED,) or "retry_after_s" in error.get("details", {}):
                delay_s = max(delay_s, float(error["details"].get("retry_after_s", 0)))
            self._log_failure(error, delay_s)
            row = self._row("retrying", outcome)
            row.lost = self._lost
            await self._runtime.shared.recorder.record_now([row])
            raise next_attempt(outcome, delay_s)
        self._record_failure(outcome)
        raise final_failure(outcome)

    def _raise_final(self, error: NodeError) -> None:
        outcome = Outcome("failed", error=error.as_dict(), attempts=max(self._used, 1))
        outcome.started_at, outcome.finished_at = self._started_at, time.time()
        self._record_failure(outcome)
        raise final_failure(outcome)

    def _log_failure(self, error: dict[str, Any], next_in_s: float | None = None) -> None:
        if self._task is not None:
            log_of(self._runtime, self._task).failed(error, next_in_s)

    def _record_failure(self, outcome: Outcome) -> None:
        self._log_failure(outcome.error or {})
        upstream = self._request.scope.get("u", NULL)
        status, output, port = resolve_failure(self._node, outcome.error or {}, upstream)
        resolved = Outcome(status, output=output, port=port, error=outcome.error, attempts=outcome.attempts)
        resolved.reason = "error" if status == "skipped" else None
        resolved.started_at, resolved.finished_at = outcome.started_at, outcome.finished_at
        self._record(status, resolved)

    # ---- the record

    def _record(self, status: str, outcome: Outcome) -> None:
        self._runtime.shared.recorder.record(self._row(status, outcome))

    def _row(self, status: str, outcome: Outcome | None) -> NodeRow:
        request, node = self._request, self._node
        row = NodeRow(
            tenant=self._runtime.tenant,
            execution_id=UUID(self._runtime.meta["execution_id"]),
            node_path=request.path,
            node_type=node.type,
            status=status,
            iteration=tuple(request.iteration),
            generation=request.generation,
            execution_attempt=self._runtime.meta["attempt"],
            started_at=moment(self._started_at),
            worker=self._runtime.shared.worker,
        )
        if outcome is not None:
            row.input = self._input
            row.attempts, row.error, row.assigned = outcome.attempts, outcome.error, outcome.assigned
            row.output, row.reason, row.cached = outcome.output, outcome.reason, outcome.cached
            if status not in ("retrying", "running"):
                row.port = outcome.port or (node.default_port if status == "success" else None)
                row.finished_at = moment(outcome.finished_at)
                row.duration_ms = duration_ms(outcome.started_at, outcome.finished_at)
        return row


def _last_words() -> tuple[bool, bool]:
    """Whether the try before this one handed its work back, and whether no try had been cut off by then."""
    info = activity.info()
    details = list(info.heartbeat_details)
    return (True, bool(details[1])) if len(details) == 2 and details[0] == info.attempt - 1 else (False, False)
