"""Driver: carries out on Temporal what the pure core asks for.

One driver drives one run: an execution, or a shard of a loop. It starts activities, timers and children, feeds
their outcomes back as they come (by callbacks, never by scanning tasks), and keeps the bounds of a workflow task.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, cast

from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError, CancelledError, TimeoutError

from engine.contracts import (
    EXECUTE_NODE,
    RECORD_ROWS,
    RUN_REGION,
    STORE_VALUE,
    NodeRequest,
    RecordReply,
    RecordRequest,
    RegionRequest,
    RegionResult,
    StoreRequest,
)
from engine.dag.control.approval import APPROVED
from engine.dag.outcome import Outcome, error_dict, failed
from engine.dag.plan import PlanNode
from engine.dag.scope import scope_of, scope_size
from engine.dag.slices import cut, hands_back
from engine.dag.state import Run
from engine.dag.values import Value
from engine.dag.work import Work, WorkKey
from engine.errors import EXECUTION_FAILED, TIMEOUT
from engine.workflows import options
from engine.workflows.approvals import Approvals
from engine.workflows.children import Children
from engine.workflows.ledger import Ledger

NodeKey = tuple[int, tuple[int, ...]]
_LOCAL_KINDS = ("open", "assign", "pass", "outputs")


class Driver:
    """Drives `run` until `done()`.

    `paused` holds back new work; `draining` does so too and is set before continue-as-new.
    """

    def __init__(self, run: Run, meta: dict[str, Any], ledger: Ledger, done: Callable[[], bool]) -> None:
        self.run = run
        self.meta = meta
        self.ledger = ledger
        self.done = done
        self.paused = False
        self.draining = False
        self.on_progress: Callable[[], None] = lambda: None
        self.closing: Callable[[dict[str, Any]], dict[str, int] | None] = lambda _slice: None
        self.closing_node: Callable[[Work], dict[str, Any] | None] = lambda _work: None
        self.closed = False  # an activity has closed the record of the execution already
        self.packed_plan: Callable[[], str | dict[str, Any]] = run.plan.to_wire
        self.unrecorded_node = -1  # the loop of a shard: its own row is the parent's to record
        self.children = Children(self)
        self.approvals = Approvals(self)
        self._io: deque[Work] = deque()
        self._local: list[Work] = []
        self._activities: dict[WorkKey, Any] = {}
        self._timers: dict[WorkKey, asyncio.Task[None]] = {}
        self._region: Any = None
        self._region_works: list[Work] = []
        self._region_remote = False
        self._remote_next = False
        self._recorded: dict[NodeKey, None] = {}  # nodes whose activity has put them on record
        self._sliced: dict[NodeKey, None] = {}  # nodes of the slices that are being applied
        self._closings: dict[WorkKey, Outcome] = {}
        self._again: dict[WorkKey, int] = {}
        self._flush: asyncio.Task[None] | None = None
        self._history_length = -1
        self._task_bytes = 0
        self._resident = 0
        self._waker: asyncio.Future[None] | None = None
        self._defect: BaseException | None = None

    # ---- the loop

    async def drive(self) -> None:
        """Run until done, or until drained if draining.

        Raises: asyncio.CancelledError when the Temporal workflow is cancelled; drive may be called again.
        """
        while True:
            if self._defect is not None:
                raise self._defect
            self.step()
            if self.done() and not self._is_busy:
                return
            if self.draining and self.is_idle:
                return
            await self._wait()

    @property
    def is_idle(self) -> bool:
        """Nothing runs whose result continue-as-new would lose."""
        waits = self.children.opening or self.approvals.busy
        return not self._activities and self._region is None and not waits

    @property
    def _is_busy(self) -> bool:
        """Something runs whose end must be awaited."""
        running = bool(self._activities) or self._region is not None
        return running or self.children.busy or self.approvals.busy

    @property
    def is_settled(self) -> bool:
        """Idle, with nothing left to record: what a timer released since the last confirmation would be lost."""
        return self.is_idle and not self.ledger.held

    @property
    def io_running(self) -> int:
        return len(self._activities)

    async def _wait(self) -> None:
        self._waker = asyncio.get_running_loop().create_future()
        try:
            await self._waker
        finally:
            self._waker = None

    def wake(self) -> None:
        if self._waker is not None and not self._waker.done():
            self._waker.set_result(None)

    def check(self, task: asyncio.Future[Any]) -> None:
        """Note a defect of the interpreter: it fails the workflow task, and mended code goes on; nothing hangs."""
        if not task.cancelled() and task.exception() is not None:
            self._defect = task.exception()
            self.wake()

    def _when_done(self, handle: Any, react: Callable[[Any], None]) -> None:
        """Call `react` when an activity has ended; its own failure would go unseen in a callback."""

        def ended(done: Any) -> None:
            try:
                react(done)
            except Exception as error:
                self._defect = error
                self.wake()

        handle.add_done_callback(ended)

    @property
    def now(self) -> float:
        return workflow.time()

    def step(self) -> None:
        """Obey cancels, note what has settled, start what may start."""
        self.run.now = self.now
        for key in self.run.take_cancels():
            self._cancel(key)
        self._note_settled()
        if self.draining:
            return
        if self.paused:
            self._route_waits()
            return
        self._route(self.run.take_ready())
        self._start_io()
        self._start_region()
        self._note_settled()

    def _route_waits(self) -> None:
        """While paused, clocks and approvals go on, and children of an earlier run are found again to be told."""
        ready = self.run.take_ready()
        waits = [work for work in ready if work.kind in ("timer", "approval") or work.purpose == "reattach"]
        self.run.give_back([work for work in ready if work not in waits])
        self._route(waits)

    def _note_settled(self) -> None:
        for settled in self.run.take_settled():
            if settled.node.index == self.unrecorded_node:
                continue
            key = (settled.node.index, settled.iteration)
            known = self._sliced if settled.state.status == "pruned" else self._recorded
            recorded = key in known and settled.state.status != "cancelled"
            self.ledger.add(settled, self.meta["attempt"], recorded=recorded)
            if "v" in settled.state.output:
                self._resident += settled.state.output["n"]

    def _route(self, works: list[Work]) -> None:
        for work in works:
            if work.kind == "timer":
                self._start_timer(work)
            elif work.kind in ("child", "shard"):
                self.children.start(work)
            elif work.kind == "approval":
                self.approvals.start(work)
            elif work.key in self._closings:
                self.complete(work.key, self._closings.pop(work.key))
            elif work.kind in _LOCAL_KINDS or (self.run.plan.nodes[work.subject].local and work.attempt == 1):
                self._local.append(work)
            else:
                self._io.append(work)

    def complete(self, key: WorkKey, outcome: Outcome) -> None:
        self.run.complete(key, outcome, self.now)
        self.on_progress()
        self.wake()

    def _is_wanted(self, work: Work) -> bool:
        return self.run.works.get(work.key) is work

    # ---- I/O nodes

    def _start_io(self) -> None:
        while self._io and len(self._activities) < self.run.plan.max_parallel_nodes:
            work = self._io[0]
            if not self._is_wanted(work):
                self._io.popleft()
                continue
            scope = scope_of(self.run, work)
            if not self._fits(scope_size(scope) + 600):
                return
            self._io.popleft()
            self._start_activity(work, scope)

    def _fits(self, size: int) -> bool:
        """Whether a command of this size still fits the workflow task; if not, a timer brings the next task."""
        length = workflow.info().get_current_history_length()
        if length != self._history_length:
            self._history_length, self._task_bytes = length, 0
        if self._task_bytes and self._task_bytes + size > options.MAX_TASK_BYTES:
            if self._flush is None:
                self._flush = asyncio.create_task(self._flush_task())
            return False
        self._task_bytes += min(size, options.MAX_INPUT_BYTES)
        return True

    async def _flush_task(self) -> None:
        await asyncio.sleep(0.001)
        self._flush = None
        self._history_length = -1
        self.wake()

    def _start_activity(self, work: Work, scope: dict[str, Any]) -> None:
        node = self.run.plan.nodes[work.subject]
        self.run.mark_started(work, self.now)
        request = NodeRequest(
            meta=self.meta,
            node=node.index,
            path=node.path,
            iteration=list(work.iteration),
            generation=work.generation,
            scope=scope,
            inline_limit=self._inline_limit(),
            attempts=work.attempt - 1,
            again=work.key in self._again,
        )
        request.closing = self.closing_node(work)
        request.budget_approved = self._has_passed(work)
        count = self._again.get(work.key, 0)
        handle = workflow.start_activity(
            EXECUTE_NODE, request, result_type=list, **options.node_options(node, _activity_id(node, work, count))
        )
        self._activities[work.key] = handle
        self._when_done(handle, lambda done: self._activity_done(work, done))

    def _has_passed(self, work: Work) -> bool:
        """Whether people have let the node pass what it asked over."""
        asked = self.run.frame_of(work).nodes[work.subject].opened
        return asked is not None and asked.get("decision") == APPROVED

    def _inline_limit(self) -> int:
        """Bytes that an output may have inline: little once the state holds much."""
        expected = self._resident + options.INLINE_BYTES * len(self._activities)
        return options.INLINE_BYTES if expected < options.RESIDENT_BYTES else options.SMALL_INLINE_BYTES

    def _activity_done(self, work: Work, handle: asyncio.Task[Any]) -> None:
        if self._activities.get(work.key) is not handle:
            return
        del self._activities[work.key]
        if handle.cancelled():
            outcome = Outcome("cancelled", attempts=work.attempt)
        elif (error := handle.exception()) is not None:
            outcome = outcome_of_failure(error, work.attempt)
        else:
            outcome = Outcome.from_wire(handle.result())
        if work.key in self._again and outcome.status == "cancelled" and self._is_wanted(work):
            self._io.appendleft(work)  # a person asked to try again now
        else:
            self._again.pop(work.key, None)
            self._note_settled()
            self._recorded = {(work.subject, work.iteration): None}
            self.closed = self.closed or outcome.closed
            self.complete(work.key, outcome)
            self._note_settled()
            self._recorded = {}
        self.wake()

    def retry_now(self, path: str, iteration: tuple[int, ...]) -> bool:
        """Try a node that waits for its next attempt at once, with the attempts that are left."""
        if self.run.retry_now(path, iteration):
            self.wake()
            return True
        node = self.run.plan.by_path.get(path)
        key: WorkKey = ("node", node.index if node else -1, iteration)
        if key not in self._activities:
            return False
        self._again[key] = self._again.get(key, 0) + 1
        self._activities[key].cancel()
        return True

    # ---- timers and cancels

    def _start_timer(self, work: Work) -> None:
        work.started = True
        timer = self._timers[work.key] = asyncio.create_task(self._timer(work))
        timer.add_done_callback(self.check)

    async def _timer(self, work: Work) -> None:
        delay = work.deadline - self.now
        if delay > 0:
            await asyncio.sleep(delay)
        self._timers.pop(work.key, None)
        if self._is_wanted(work):
            self.complete(work.key, Outcome("success"))

    def _cancel(self, key: WorkKey) -> None:
        timer = self._timers.pop(key, None)
        if timer is not None:
            timer.cancel()
        activity = self._activities.get(key)
        if activity is not None:
            activity.cancel()
            asyncio.create_task(self._give_up(key, activity))  # noqa: RUF006  the loop of a workflow keeps its tasks
        self.children.cancel(key)
        self.approvals.end(key)
        if self._region_remote and any(work.key == key for work in self._region_works):
            self._region.cancel()

    async def _give_up(self, key: WorkKey, activity: Any) -> None:
        """A cancelled activity has 30 seconds to end; after that it is left alone."""
        await asyncio.sleep(options.CANCEL_TIMEOUT_S)
        if self._activities.get(key) is activity:
            del self._activities[key]
            self.complete(key, Outcome("cancelled"))

    # ---- regions

    def _start_region(self) -> None:
        if self._region is not None:
            return
        works = [work for work in self._local if self._is_wanted(work)]
        self._local = []
        if not works:
            return
        for work in works:
            self.run.mark_started(work, self.now)
        beside = bool(self._activities or self._io)
        remote = self._remote_next
        budget = options.REMOTE_BUDGET_S if remote else options.BESIDE_IO_BUDGET_S if beside else options.LOCAL_BUDGET_S
        slices = cut(self.run, works)
        request = RegionRequest(self.meta, slices, budget, self._inline_limit(), self.ledger.take_unsent())
        if len(slices) == 1 and slices[0].get("w") and not self.ledger.unsent:
            request.closing = self.closing(slices[0])
        if remote:
            handle = workflow.start_activity(
                RUN_REGION,
                request,
                result_type=RegionResult,
                summary=_region_summary(self.run, slices),
                **options.until_done(budget + 25, heartbeat=True),
            )
        else:
            handle = workflow.start_local_activity(
                RUN_REGION,
                request,
                result_type=RegionResult,
                summary=_region_summary(self.run, slices),
                **options.local_once(budget + 5),
            )
        self._region, self._region_works, self._region_remote = handle, works, remote
        self._when_done(handle, lambda done: self._region_done(slices, works, done))

    def _region_done(self, slices: list[dict[str, Any]], works: list[Work], handle: asyncio.Task[Any]) -> None:
        remote, self._region, self._region_works = self._region_remote, None, []
        if handle.cancelled() or handle.exception() is not None:
            self._region_failed(works, handle, remote=remote)
        else:
            result = cast("RegionResult", handle.result())
            self._remote_next = result.more
            self.closed = result.closed
            self.ledger.add_inner(result.inner[0], result.inner[1])
            self._apply(slices, result)
            self._local = [work for work in works if self._is_wanted(work)] + self._local
        self.wake()

    def _region_failed(self, works: list[Work], handle: asyncio.Task[Any], *, remote: bool) -> None:
        """A region that was cancelled or broke: try it as an activity, then give its works up."""
        error = None if handle.cancelled() else handle.exception()
        if error is None or (isinstance(error, ActivityError) and isinstance(error.cause, CancelledError)):
            outcome = Outcome("cancelled")
        elif not remote:
            self._remote_next = True
            self._local = [work for work in works if self._is_wanted(work)] + self._local
            return
        else:
            outcome = outcome_of_failure(error, 1)
        self._remote_next = False
        for work in works:
            if self._is_wanted(work):
                self.complete(work.key, outcome)

    def _apply(self, slices: list[dict[str, Any]], result: RegionResult) -> None:
        """Replay what the region did, in its order."""
        for number, subject, value in result.checkpoints:
            frame = self.run.frames.get((slices[number]["g"], tuple(slices[number]["it"])))
            if frame is not None and not frame.nodes[subject].settled:
                frame.nodes[subject].checkpoint = value
        self._note_settled()
        self._sliced = {(row[0], tuple(one["it"])): None for one in slices for row in one["n"]}
        for number, kind, subject, wire in result.outcomes:
            iteration = tuple(slices[number]["it"])
            outcome = Outcome.from_wire(wire)
            if kind == "node" and not hands_back(self.run.plan.nodes[subject], outcome):
                self._recorded[(subject, iteration)] = None
            self._take_local((kind, subject, iteration), outcome)
        self._note_settled()
        self._recorded, self._sliced = {}, {}
        self.on_progress()

    def _take_local(self, key: WorkKey, outcome: Outcome) -> None:
        work = self.run.works.get(key)
        if work is None:
            if key[0] in ("pass", "outputs"):
                self._closings[key] = outcome
            return
        work.started = True
        self.run.complete(key, outcome, outcome.finished_at or self.now)

    # ---- the record

    async def confirm(self, path: str = "", iteration: tuple[int, ...] = (), low: int = 0, high: int = 0) -> None:
        """Return when PostgreSQL holds every outcome of this run."""
        while self.ledger.unsent:
            await self.send_rows()
        narrow: dict[str, Any] = {"path": path, "iteration": list(iteration), "low": low, "high": high}
        reply = await self._record([], ask=True, **narrow)
        if reply.present is not None:
            await self.send_missing(reply.present)
        self.ledger.confirmed()

    async def send_rows(self) -> None:
        """Record some of the rows that only this run knows."""
        await self._record(self.ledger.take_unsent(), ask=False)

    async def send_missing(self, present: list[Any]) -> None:
        """Record the rows that the database does not have."""
        missing = self.ledger.missing(present)
        while missing:
            await self._record(self.ledger.take_missing(missing), ask=False)

    async def stored(self, value: Value) -> Value:
        """A value that is made of many parts as one stored value."""
        request = StoreRequest(self.meta, value)
        stored = await workflow.execute_activity(STORE_VALUE, request, result_type=dict, **options.until_done(60))
        return cast("Value", stored)

    async def _record(self, rows: list[Any], *, ask: bool, **narrow: Any) -> RecordReply:
        request = RecordRequest(self.meta, rows, self.ledger.count if ask else -1, self.ledger.digest, **narrow)
        return cast(
            "RecordReply",
            await workflow.execute_activity(RECORD_ROWS, request, result_type=RecordReply, **options.until_done(60)),
        )


def outcome_of_failure(error: BaseException, attempt: int) -> Outcome:
    """The outcome that a failed activity stands for: the one it sent along, or what Temporal says."""
    cause = error.cause if isinstance(error, ActivityError) else error
    if isinstance(cause, CancelledError):
        return Outcome("cancelled", attempts=attempt)
    if isinstance(cause, ApplicationError) and cause.details and isinstance(cause.details[0], list):
        return Outcome.from_wire(cast("list[Any]", cause.details[0]))
    if isinstance(cause, TimeoutError):
        return failed(error_dict(TIMEOUT, "the node did not end in time", retryable=True), attempts=attempt)
    return failed(error_dict(EXECUTION_FAILED, f"the activity failed: {cause}"), attempts=attempt)


def _activity_id(node: PlanNode, work: Work, again: int) -> str:
    place = f"[{'.'.join(map(str, work.iteration))}]" if work.iteration else ""
    more = f"~{again}" if again else ""
    attempt = f"*{work.attempt}" if work.attempt > 1 else ""
    return f"{node.path}{place}#{work.generation}{attempt}{more}"


def _region_summary(run: Run, slices: list[dict[str, Any]]) -> str:
    names = [run.plan.nodes[row[0]].name for one in slices for row in one["n"][:6]]
    total = sum(len(one["n"]) for one in slices)
    more = f" and {total - 6} more" if total > 6 else ""
    return (", ".join(names[:6]) + more)[:200] or "outputs"
