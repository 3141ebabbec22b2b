"""Driver: carries out on Temporal what the pure core asks for.

One driver drives one run: an execution, or a shard of a loop. It starts activities, timers and children, feeds
their outcomes back as they come (by callbacks, never by scanning tasks), and keeps the bounds of a workflow task.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from temporalio import workflow

from engine.contracts import (
    EXECUTE_NODE,
    NodeRequest,
)
from engine.dag.control.approval import APPROVED
from engine.dag.outcome import Outcome
from engine.dag.plan import PlanNode
from engine.dag.scope import scope_of, scope_size
from engine.dag.state import Run
from engine.dag.values import Value
from engine.dag.work import Work, WorkKey
from engine.workflows import options
from engine.workflows.approvals import Approvals
from engine.workflows.children import Children
from engine.workflows.failures import outcome_of_failure
from engine.workflows.ledger import Ledger
from engine.workflows.recording import Recording
from engine.workflows.regions import Regions
from engine.workflows.segments import Segments

Nodes = Mapping[tuple[int, tuple[int, ...]], None]
_NONE: Nodes = {}
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
        self.recording = Recording(meta, ledger)
        self._regions = Regions(self)
        self.segments = Segments(self)
        self._io: deque[Work] = deque()
        self._activities: dict[WorkKey, Any] = {}
        self._timers: dict[WorkKey, asyncio.Task[None]] = {}
        self._again: dict[WorkKey, int] = {}
        self._closers: dict[WorkKey, None] = {}  # activities that close the record of the execution if they end well
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
        return not self._activities and not self._regions.busy and not self.segments.busy and not waits

    @property
    def _is_busy(self) -> bool:
        """Something runs whose end must be awaited."""
        running = bool(self._activities) or self._regions.busy or self.segments.busy
        return running or self.children.busy or self.approvals.busy

    @property
    def is_settled(self) -> bool:
        """Idle, with nothing left to record: what a timer released since the last confirmation would be lost."""
        return self.is_idle and not self.ledger.held

    @property
    def regions(self) -> Regions:
        """What runs the local nodes."""
        return self._regions

    @property
    def has_io(self) -> bool:
        """I/O nodes run, or wait for a slot."""
        return bool(self._activities or self._io or self.segments.busy)

    @property
    def room(self) -> int:
        """How many more nodes may run beside those that do."""
        return self.run.plan.max_parallel_nodes - len(self._activities) - self.segments.reserved

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

    def when_done(self, handle: Any, react: Callable[[Any], None]) -> None:
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
        self.note_settled()
        if self.draining or self.paused:
            self.segments.interrupt_all()
        if self.draining:
            return
        if self.paused:
            self._route_waits()
            return
        self._route(self.run.take_ready())
        self._start_io()
        self.segments.start()
        self._regions.start()
        self.note_settled()

    def _route_waits(self) -> None:
        """While paused, clocks and approvals go on, and children of an earlier run are found again to be told."""
        ready = self.run.take_ready()
        waits = [work for work in ready if work.kind in ("timer", "approval") or work.purpose == "reattach"]
        self.run.give_back([work for work in ready if work not in waits])
        self._route(waits)

    def note_settled(self, recorded: Nodes = _NONE, sliced: Nodes = _NONE) -> None:
        """Enter what has settled in the ledger.

        `recorded` are nodes that an activity has put on record; of the nodes `sliced`, so are those that were pruned.
        """
        for settled in self.run.take_settled():
            if settled.node.index == self.unrecorded_node:
                continue
            key = (settled.node.index, settled.iteration)
            known = sliced if settled.state.status == "pruned" else recorded
            is_recorded = key in known and settled.state.status != "cancelled"
            self.ledger.add(settled, self.meta["attempt"], recorded=is_recorded)
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
            elif (end := self._regions.take_end(work.key)) is not None:
                self.complete(work.key, end)
            elif work.kind in _LOCAL_KINDS or (self.run.plan.nodes[work.subject].local and work.attempt == 1):
                (self.segments if self.segments.enabled else self._regions).add(work)
            elif self.segments.takes(work):
                self.segments.add(work)
            else:
                self._io.append(work)

    def complete(self, key: WorkKey, outcome: Outcome) -> None:
        self.run.complete(key, outcome, self.now)
        self.on_progress()
        self.wake()

    def is_wanted(self, work: Work) -> bool:
        """Whether the run still waits for it."""
        return self.run.works.get(work.key) is work

    # ---- I/O nodes

    def _start_io(self) -> None:
        while self._io and self.room > 0:
            work = self._io[0]
            if not self.is_wanted(work):
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
            inline_limit=self.inline_limit(),
            attempts=work.attempt - 1,
            again=work.key in self._again,
        )
        request.closing = self.closing_node(work)
        if request.closing is not None:
            self._closers[work.key] = None
        request.budget_approved = self._has_passed(work)
        request.lost = self.segments.take_lost(work)
        count = self._again.get(work.key, 0)
        handle = workflow.start_activity(
            EXECUTE_NODE, request, result_type=list, **options.node_options(node, _activity_id(node, work, count))
        )
        self._activities[work.key] = handle
        self.when_done(handle, lambda done: self._activity_done(work, done))

    def _has_passed(self, work: Work) -> bool:
        """Whether people have let the node pass what it asked over."""
        asked = self.run.frame_of(work).nodes[work.subject].opened
        return asked is not None and asked.get("decision") == APPROVED

    def inline_limit(self) -> int:
        """Bytes that an output may have inline: little once the state holds much."""
        expected = self._resident + options.INLINE_BYTES * len(self._activities)
        return options.INLINE_BYTES if expected < options.RESIDENT_BYTES else options.SMALL_INLINE_BYTES

    def _activity_done(self, work: Work, handle: asyncio.Task[Any]) -> None:
        if self._activities.get(work.key) is not handle:
            return
        del self._activities[work.key]
        self._closers.pop(work.key, None)
        if handle.cancelled():
            outcome = Outcome("cancelled", attempts=work.attempt)
        elif (error := handle.exception()) is not None:
            outcome = outcome_of_failure(error, work.attempt)
        else:
            outcome = Outcome.from_wire(handle.result())
        if work.key in self._again and outcome.status == "cancelled" and self.is_wanted(work):
            self._io.appendleft(work)  # a person asked to try again now
        else:
            self._again.pop(work.key, None)
            self._take(work, outcome)
        self.wake()

    def _take(self, work: Work, outcome: Outcome) -> None:
        self.note_settled()
        self.closed = self.closed or outcome.closed
        skipped = self.is_wanted(work) and self.run.is_overridden(work)
        if skipped and outcome.closed:
            self.run.keep_own(work)
            skipped = False
        self.complete(work.key, outcome)
        self.note_settled({} if skipped else {(work.subject, work.iteration): None})

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

    def is_closing(self, path: str, iteration: tuple[int, ...]) -> bool:
        """Whether this node runs in an activity that closes the record of the execution if the node ends well."""
        node = self.run.plan.by_path.get(path)
        return node is not None and ("node", node.index, iteration) in self._closers

    def skip_closing(self, path: str, iteration: tuple[int, ...], output: Value) -> bool:
        """Skip such a node, unless its activity has closed the record: `closed` says so once it has ended."""
        node = self.run.plan.by_path[path]
        self._again.pop(("node", node.index, iteration), None)
        done = self.run.skip_at_end(path, iteration, output)
        self.wake()
        return done

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
        if self.is_wanted(work):
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
        self._regions.cancel(key)
        self.segments.cancel(key)

    async def _give_up(self, key: WorkKey, activity: Any) -> None:
        """A cancelled activity has 30 seconds to end; after that it is left alone."""
        await asyncio.sleep(options.CANCEL_TIMEOUT_S)
        if self._activities.get(key) is activity:
            del self._activities[key]
            self._closers.pop(key, None)
            self.complete(key, Outcome("cancelled"))


def _activity_id(node: PlanNode, work: Work, again: int) -> str:
    place = f"[{'.'.join(map(str, work.iteration))}]" if work.iteration else ""
    more = f"~{again}" if again else ""
    attempt = f"*{work.attempt}" if work.attempt > 1 else ""
    return f"{node.path}{place}#{work.generation}{attempt}{more}"
