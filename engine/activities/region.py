"""Regions: one activity that drives the pure core through every local node it can reach.

Local nodes do no outside I/O, so a region that is repeated after a crash does no harm. Rows of the slice's own nodes
go to the recorder off the critical path; rows inside containers are committed before the region answers, so that the
interpreter never needs to hold them.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any
from uuid import UUID

import orjson

from engine.activities.closing import close_as_success
from engine.activities.evaluation import Evaluation
from engine.activities.rows import row_of_settled
from engine.activities.runtime import ExecutionRuntime
from engine.activities.task import Task, input_of, log_of
from engine.contracts import RegionRequest, RegionResult
from engine.dag.digest import MODULUS
from engine.dag.outcome import Outcome
from engine.dag.plan import PlanNode
from engine.dag.scope import leaves_of, scope_of
from engine.dag.slices import Slice
from engine.dag.snapshot import take_container
from engine.dag.state import Settled
from engine.dag.values import Value, wire_size
from engine.dag.work import Iteration, Work
from models.rows import NodeRow

MAX_OUTCOME_BYTES = 1_000_000
MAX_CLOSING_ROWS = 200
SMALL_BUDGET_S = 1.0  # up to here a wave is cut off at the budget; it would hold up the workflow task


class Region:
    """Drives the slices of one request."""

    def __init__(self, runtime: ExecutionRuntime, request: RegionRequest) -> None:
        self._runtime = runtime
        self._request = request
        self._evaluation = Evaluation(runtime, request.inline_limit)
        self._slices: list[Slice] = []
        self._result = RegionResult()
        self._execution_id = UUID(runtime.meta["execution_id"])
        self._inner: list[NodeRow] = []
        self._own: list[NodeRow] = []
        self._cached: set[tuple[int, Iteration]] = set()  # nodes whose result was there already
        self._inputs: dict[tuple[int, Iteration], Value] = {}  # as far as they are recorded
        self._outputs: Value | None = None  # of the execution, if its end was evaluated here
        self._bytes = 0
        self._deadline = time.monotonic() + request.budget_s
        self._cut = request.budget_s <= SMALL_BUDGET_S

    async def drive(self) -> RegionResult:
        """Run until nothing local is ready, or the budget of time or bytes is spent."""
        await self._open_slices()
        while True:
            works = [(number, work) for number, one in enumerate(self._slices) for work in one.run.take_ready()]
            if not works:
                break
            if not await self._run_wave(works) or self._is_spent():
                self._result.more = self._has_more()
                break
        if self._result.more:
            await self._keep_checkpoints()
        await self._commit_inner()
        if self._request.closing is not None and not self._result.more:
            await self._close(self._request.closing)
        return self._result

    async def _open_slices(self) -> None:
        for number, wire in enumerate(self._request.slices):
            checkpoints = {row[0]: await self._checkpoint(row[5]) for row in wire["n"] if len(row) > 5 and row[5]}
            one = Slice(self._runtime.program.plan, wire, time.time(), checkpoints)
            one.run.handed_back = lambda node, outcome, number=number: self._hand_back(number, node, outcome)
            self._slices.append(one)
            one.begin()

    async def _checkpoint(self, value: dict[str, Any]) -> dict[str, Any]:
        data = await self._runtime.scopes.data(value)
        return orjson.loads(orjson.dumps(data))  # a copy: restoring takes parts of it over, and loaded data is shared

    async def _run_wave(self, works: list[tuple[int, Work]]) -> bool:
        """Evaluate works and take their outcomes; False if the budget ended it half way."""
        now = time.time()
        tasks: list[Task] = []
        for number, work in works:
            run = self._slices[number].run
            run.mark_started(work, now)
            task = Task(work, scope_of(run, work))
            if work.kind == "assign":
                task.output = self._slices[number].frame.nodes[work.subject].output
            tasks.append(task)
        finished = await self._evaluate(tasks)
        await self._note_inputs(tasks)
        for (number, work), task in zip(works, tasks, strict=True):
            if task.outcome is not None:
                self._take(number, work, task.outcome)
        return finished

    async def _note_inputs(self, tasks: list[Task]) -> None:
        """Keep what failed nodes were given, and log why they failed; keep all inputs if the operator wants them."""
        every = self._runtime.shared.record_inputs == "all"
        for task in tasks:
            failed = task.outcome is not None and task.outcome.status == "failed"
            if task.program is None or not (failed or (every and task.work.kind == "node")):
                continue
            error = task.outcome.error or {} if failed and task.outcome is not None else {}
            if failed and not (task.program.node.retry and error.get("retryable")):  # that one leaves the region
                log_of(self._runtime, task).failed(error)
            value = await input_of(self._runtime, task, self._request.inline_limit)
            if value is not None:
                self._inputs[(task.work.subject, task.work.iteration)] = value

    async def _evaluate(self, tasks: list[Task]) -> bool:
        if not self._cut:
            await self._evaluation.run(tasks)
            return True
        try:
            async with asyncio.timeout_at(asyncio.get_running_loop().time() + self._deadline - time.monotonic()):
                await self._evaluation.run(tasks)
        except TimeoutError:
            return False
        return True

    def _is_spent(self) -> bool:
        return time.monotonic() >= self._deadline or self._bytes > MAX_OUTCOME_BYTES

    def _has_more(self) -> bool:
        return any(one.run.works for one in self._slices)

    # ---- outcomes

    def _take(self, number: int, work: Work, outcome: Outcome) -> None:
        one = self._slices[number]
        run, frame = one.run, one.frame
        if run.frame_of(work) is frame and self._is_for_interpreter(run.plan.nodes, work):
            run.works.pop(work.key, None)
            if work.kind == "outputs" and outcome.status == "success":
                self._outputs = outcome.output
            self._emit(number, work.kind, work.subject, outcome)
            return
        if outcome.cached:
            self._cached.add((work.subject, work.iteration))
        run.complete(work.key, outcome, outcome.finished_at)
        self._note_settled(number)

    def _is_for_interpreter(self, nodes: list[PlanNode], work: Work) -> bool:
        """Ends of the slice's own graph, and parts of nodes that the interpreter drives."""
        return work.kind in ("pass", "outputs") or (work.kind in ("open", "assign") and not nodes[work.subject].local)

    def _note_settled(self, number: int) -> None:
        one = self._slices[number]
        for settled in one.run.take_settled():
            frame = one.run.frames.get((settled.node.graph, settled.iteration))
            if frame is one.frame and settled.node.index in one.frame.nodes and self._is_own(one, settled):
                self._settle_own(number, settled)
            else:
                self._inner.append(self._row(settled))

    def _is_own(self, one: Slice, settled: Settled) -> bool:
        return one.frame.nodes[settled.node.index] is settled.state

    def _settle_own(self, number: int, settled: Settled) -> None:
        if settled.state.status == "cancelled":
            return  # follows from the failure beside it; the interpreter records it
        self._keep_row(settled)
        if settled.state.status != "pruned":
            self._emit(number, "node", settled.node.index, _outcome_of(settled))

    def _keep_row(self, settled: Settled) -> None:
        row = self._row(settled)
        self._own.append(row)
        self._runtime.shared.recorder.record(row)

    def _hand_back(self, number: int, node: PlanNode, outcome: Outcome) -> None:
        retryable = bool((outcome.error or {}).get("retryable"))
        if retryable and not node.bodies:
            outcome.status = "left"
        self._emit(number, "node", node.index, outcome)

    def _emit(self, number: int, kind: str, subject: int, outcome: Outcome) -> None:
        self._bytes += 80 + wire_size(outcome.output) + (wire_size(outcome.data) if outcome.data else 0)
        outcome.generation = max(outcome.generation, self._slices[number].run.generation)
        self._result.outcomes.append([number, kind, subject, outcome.to_wire()])

    def _row(self, settled: Settled) -> NodeRow:
        runtime = self._runtime
        row = row_of_settled(settled, runtime.tenant, self._execution_id, runtime.meta, runtime.shared.worker)
        row.input = self._inputs.get((settled.node.index, settled.iteration))
        row.cached = (settled.node.index, settled.iteration) in self._cached
        return row

    # ---- the end of the execution

    async def _close(self, closing: dict[str, int]) -> None:
        """Close the record of an execution that ended well in here; any other end is the interpreter's business."""
        one = self._slices[0]
        frame, graph = one.frame, one.frame.graph
        if frame.unsettled or frame.stopping or (graph.closes and self._outputs is None):
            return
        if len(self._own) > MAX_CLOSING_ROWS:
            return  # PostgreSQL takes them while the interpreter replays
        output = self._outputs if self._outputs is not None else leaves_of(one.run, frame)
        inner = (self._result.inner[0], self._result.inner[1])
        self._result.closed = await close_as_success(self._runtime, closing, self._own, output, inner=inner)

    # ---- what is left over

    async def _keep_checkpoints(self) -> None:
        """Keep the state of containers that are half way, for the next region."""
        for number, one in enumerate(self._slices):
            for index, iteration in list(one.run.containers):
                node = one.run.plan.nodes[index]
                if iteration != one.frame.iteration or node.graph != one.frame.graph.index or not node.local:
                    continue
                wire = take_container(one.run, one.frame, node)
                value = await self._runtime.shared.values.store(self._runtime.tenant, wire, self._request.inline_limit)
                self._result.checkpoints.append([number, index, value])

    async def _commit_inner(self) -> None:
        if not self._inner:
            return
        await self._runtime.shared.recorder.record_now(self._inner)
        digest = sum(row.digest for row in self._inner) % MODULUS
        self._result.inner = [len(self._inner), digest]


def _outcome_of(settled: Settled) -> Outcome:
    """What the interpreter must be told so that it comes to the same state."""
    state = settled.state
    if state.status == "success":
        outcome = Outcome("success", output=state.output, port=state.port, data=state.data, assigned=state.assigned)
        if outcome.port == settled.node.default_port:
            outcome.port = None
    elif state.error is not None:
        outcome = Outcome("failed", error=state.error)
    else:
        outcome = Outcome("skipped", reason=state.reason)
    outcome.attempts = state.attempts
    outcome.started_at, outcome.finished_at = state.started_at, state.finished_at
    return outcome
