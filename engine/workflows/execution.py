"""The Temporal workflow of every execution: drives the pure core, then closes the record.

It holds no parameters and no large values, evaluates nothing, and knows no node type. Changing it: read "Change the
interpreter safely" in CONTRIBUTING.md first; every history in tests/replay/histories must replay.
"""

from __future__ import annotations

import asyncio
from typing import Any, cast

from temporalio import workflow
from temporalio.common import SearchAttributeKey
from temporalio.exceptions import ActivityError, ApplicationError

from engine.contracts import (
    ATTRIBUTE_STATUS,
    EXECUTION_WORKFLOW,
    FINISH_EXECUTION,
    LARGE_OUTPUT_BYTES,
    SKIP,
    UNWANTED,
    Command,
    ExecutionInput,
    FinishRequest,
    RecordReply,
)
from engine.dag.execution import Execution
from engine.dag.frame import NodeState
from engine.dag.packing import unpack_plan
from engine.dag.plan import MAIN, Plan
from engine.dag.snapshot import restore_execution, take_execution
from engine.dag.values import NULL, wire_size
from engine.dag.work import Work
from engine.workflows import options
from engine.workflows.commands import obey_in_turn, states
from engine.workflows.driver import Driver
from engine.workflows.interruption import to_the_end
from engine.workflows.ledger import Ledger
from engine.workflows.progress import Progress

STATUS = SearchAttributeKey.for_keyword(ATTRIBUTE_STATUS)
SKIP_AT_END = "skip-waits-for-the-end-of-the-last-node"
SMALL_CLOSING = 50  # leaves, and rows, that may travel with the last node
EVENTS_A_SHARD = 3000


@workflow.defn(name=EXECUTION_WORKFLOW, sandboxed=False)
class ExecutionWorkflow:
    """One execution. Completed: success. Failed: failed or timed_out. Canceled: cancelled."""

    @workflow.init
    def __init__(self, request: ExecutionInput) -> None:
        plan = unpack_plan(request.plan)
        self._meta = dict(request.meta)
        self._request = request
        shard_passes = shard_size(plan)
        if request.state is None:
            self._execution = Execution(plan, shard_passes=shard_passes)
            ledger = Ledger()
        else:
            state = request.state
            self._execution = restore_execution(plan, state["run"], workflow.time(), shard_passes=shard_passes)
            ledger = Ledger.from_wire(state["ledger"])
        self._driver = Driver(self._execution, self._meta, ledger, lambda: self._execution.done)
        self._driver.packed_plan = lambda: request.plan
        self._driver.closing = self._closing_of
        self._driver.closing_node = self._closing_of_node
        self._driver.on_progress = self._note_attempt
        self._progress = Progress(self._execution, self._meta, ledger.statuses)
        self._driver.paused = bool(request.state and request.state["paused"])
        self._closing = False
        self._clock: asyncio.Task[None] | None = None

    @workflow.run
    async def run(self, request: ExecutionInput) -> dict[str, Any]:
        execution = self._execution
        self._start_clock()
        if request.state is None:
            seed = [(row[0], NodeState.from_wire(row[1:])) for row in request.seed]
            execution.begin(
                request.input, request.trigger, workflow.time(), trigger_output=request.trigger_output, seed=seed
            )
        self._progress.note()
        await self._drive()
        if self._clock is not None:
            self._clock.cancel()
        self._closing = True
        if self._driver.closed:
            await to_the_end(workflow.wait_condition(workflow.all_handlers_finished))
            execution.status = "success"
        else:
            await to_the_end(self._finish())
        return self._result()

    async def _drive(self) -> None:
        """Drive to the end, over cancellation and continue-as-new."""
        driver = self._driver
        while True:
            try:
                driver.draining = self._should_continue_as_new()
                await driver.drive()
            except asyncio.CancelledError:
                self._cancel()
                continue
            if self._execution.done and driver.is_idle:
                return
            _, cancelled = await to_the_end(self._settle())
            if cancelled:
                self._cancel()
            elif driver.is_settled:
                self._continue_as_new()

    def _should_continue_as_new(self) -> bool:
        """Not once it is cancelled: Temporal would not know the next run as cancelled."""
        return workflow.info().is_continue_as_new_suggested() and not self._execution.cancelled

    def _cancel(self) -> None:
        self._execution.cancel_all(workflow.time())
        self._driver.paused = False

    async def _settle(self) -> None:
        """Before continue-as-new: everything is on record and no handler runs. Timers may fire meanwhile."""
        await self._driver.recording.confirm()
        await workflow.wait_condition(workflow.all_handlers_finished)
        self._driver.step()

    def _start_clock(self) -> None:
        timeout_s = self._execution.plan.timeout_s
        if timeout_s is not None:
            left = self._meta["started_at"] + timeout_s - workflow.time()
            self._clock = asyncio.create_task(self._time_out(max(left, 0.0)))

    async def _time_out(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        self._driver.paused = False
        self._execution.time_out(workflow.time())
        self._driver.wake()

    def _note_attempt(self) -> None:
        self._meta["attempt"] = self._execution.attempt
        if self._should_continue_as_new():
            self._driver.draining = True
        self._progress.note()

    def _continue_as_new(self) -> None:
        driver = self._driver
        driver.children.abandon()
        state = {
            "run": take_execution(self._execution),
            "ledger": driver.ledger.to_wire(),
            "paused": driver.paused,
        }
        request = self._request
        workflow.continue_as_new(
            ExecutionInput(meta=self._meta, plan=request.plan, input={"v": None, "n": 4}, state=state)
        )

    # ---- closing

    def _closing_of(self, cut: dict[str, Any]) -> dict[str, int] | None:
        """What a region needs to close the record itself, if the slice is all that is left of the execution."""
        return self._settled_before() if cut["g"] == MAIN else None

    def _closing_of_node(self, work: Work) -> dict[str, Any] | None:
        """The same for the activity of a node, if it is all that is left and the leaves are the result."""
        execution, ledger = self._execution, self._driver.ledger
        main = execution.frames[(MAIN, ())]
        last = main.unsettled == 1 and work.subject in main.nodes
        if not last or main.graph.named or len(ledger.unsent) > SMALL_CLOSING:
            return None
        leaves = execution.plan.leaves(main.graph)
        if len(leaves) > SMALL_CLOSING:
            return None
        closing: dict[str, Any] | None = self._settled_before()
        if closing is not None:
            states = {leaf.id: main.nodes[leaf.index] for leaf in leaves}
            closing["leaves"] = {name: state.output for name, state in states.items() if state.port is not None}
            closing["rows"] = ledger.take_unsent()
        return closing

    def _settled_before(self) -> dict[str, int] | None:
        execution, ledger = self._execution, self._driver.ledger
        stopping = execution.cancelled or execution.timed_out or self._driver.paused
        if stopping or execution.phase not in ("main", "outputs"):
            return None
        handled = sum(state.status == "failed" for state in execution.frames[(MAIN, ())].nodes.values())
        return {"count": ledger.count, "digest": ledger.digest, "handled_failures": handled}

    async def _finish(self) -> None:
        """Close the record in one transaction; the execution is not finished before PostgreSQL has all of it."""
        await workflow.wait_condition(workflow.all_handlers_finished)
        driver, execution = self._driver, self._execution
        ledger = driver.ledger
        if wire_size(execution.output) > LARGE_OUTPUT_BYTES:
            execution.output = await driver.recording.stored(execution.output)
        while len(ledger.unsent) > 1 and _rows_bytes(ledger) > options.MAX_INPUT_BYTES:
            await driver.recording.send_rows()
        request = FinishRequest(
            meta=self._meta,
            status=execution.status,
            count=ledger.count,
            digest=ledger.digest,
            finished_at=workflow.time(),
            output=execution.output if execution.status == "success" else None,
            error=execution.failure,
            handled_failures=execution.handled_failures,
            rows=ledger.take_unsent(),
        )
        reply = await self._close(request)
        if reply.present is not None:
            await driver.recording.send_missing(reply.present)
            request.rows, request.final = [], True
            reply = await self._close(request)
        execution.status = reply.status or execution.status  # a region may have closed it before a cancel came in

    async def _close(self, request: FinishRequest) -> RecordReply:
        try:
            reply = await workflow.execute_local_activity(
                FINISH_EXECUTION, request, result_type=RecordReply, **options.local_once(5)
            )
        except ActivityError:
            reply = await workflow.execute_activity(
                FINISH_EXECUTION, request, result_type=RecordReply, **options.until_done(60)
            )
        return cast("RecordReply", reply)

    def _result(self) -> dict[str, Any]:
        execution = self._execution
        if execution.status == "success":
            return {"status": execution.status, "output": execution.output}
        workflow.upsert_search_attributes([STATUS.value_set(execution.status)])
        if execution.status == "cancelled":
            raise asyncio.CancelledError
        failure = execution.failure or {}
        raise ApplicationError(
            str(failure.get("message", execution.status)),
            failure,
            type=str(failure.get("code", execution.status)),
            non_retryable=True,
        )

    # ---- what people ask

    @workflow.update(name="command")
    async def command(self, command: Command) -> bool:
        """Pause, resume, skip a node, retry one now, decide an approval; False if the node is not there or settled."""
        place = command.path, tuple(command.iteration)
        if command.name == SKIP and self._driver.is_closing(*place) and workflow.patched(SKIP_AT_END):
            return await self._skip_last(command)
        return await obey_in_turn(self._driver, command)

    async def _skip_last(self, command: Command) -> bool:
        """Skip a node whose activity may have closed the record in this instant; False if it has."""
        driver, place = self._driver, (command.path, tuple(command.iteration))
        done = driver.skip_closing(*place, command.output or NULL)
        await workflow.wait_condition(lambda: not driver.is_closing(*place))
        return done and not driver.closed

    @command.validator
    def _validate_command(self, command: Command) -> None:
        if self._closing or self._execution.done:
            raise ApplicationError("the execution has ended", type="CONFLICT", non_retryable=True)

    @workflow.query(name=UNWANTED)
    def unwanted(self, number: int) -> dict[str, list[Any]]:
        """What must not go on in a segment that was interrupted."""
        return self._driver.segments.unwanted(number)

    @workflow.query(name="state")
    def state(self) -> dict[str, Any]:
        """Status and node states, for the API while Redis is away."""
        execution = self._execution
        status = "paused" if self._driver.paused and execution.status == "running" else execution.status
        return {"status": status, "attempt": execution.attempt, "nodes": states(execution), "error": execution.failure}


def _rows_bytes(ledger: Ledger) -> int:
    return 400 * len(ledger.unsent)


def shard_size(plan: Plan) -> int:
    """Passes a Temporal workflow runs of one loop, so that its history stays well below the limit.

    A pass with I/O nodes costs about six events a node and four for its end.
    """
    io_nodes = max((_io_below(plan, graph.index) for graph in plan.graphs if graph.owner is not None), default=1)
    return max(1, min(500, EVENTS_A_SHARD // (4 + 6 * max(1, io_nodes))))


def _io_below(plan: Plan, graph: int) -> int:
    return sum(not plan.nodes[index].local for index in plan.graphs[graph].nodes)
