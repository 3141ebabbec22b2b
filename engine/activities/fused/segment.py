"""Segments: one activity that drives fused I/O nodes and the local nodes between them through the same pure core.

An I/O node's outcome is committed before anything that follows from it starts, so a try after a lost worker finds it
on record and goes on behind it. The segment starts nothing more once its budget is spent, its worker leaves, a node is
ready that is not its own, one goes back to the interpreter, or it is interrupted; it answers when what runs has ended.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Coroutine
from typing import Any, cast

from temporalio import activity
from temporalio.service import RPCError

from engine.activities.fused.node import FusedNode, GoesAlone
from engine.activities.region import Region
from engine.activities.runtime import ExecutionRuntime
from engine.contracts import UNWANTED, NodeRequest, RegionRequest, RegionResult, SegmentRequest
from engine.dag.outcome import Outcome
from engine.dag.scope import scope_of
from engine.dag.slices import hands_back
from engine.dag.state import Settled
from engine.dag.work import Work, WorkKey
from models.rows import Attempts, NodeKey

ASK_AGAIN_S = 0.5  # what else is unwanted, while an interrupted segment waits for its ends
Place = tuple[int, WorkKey]  # slice number, work


class Segment(Region):
    """Drives the slices of one request, with I/O nodes beside one another."""

    def __init__(self, runtime: ExecutionRuntime, request: SegmentRequest) -> None:
        super().__init__(
            runtime,
            RegionRequest(
                request.meta, request.slices, request.budget_s, request.inline_limit, closing=request.closing
            ),
        )
        self._number, self._parallel, self._again = request.number, request.parallel, request.again
        self._local: list[tuple[int, Work]] = []
        self._io: deque[tuple[int, Work]] = deque()
        self._wave: asyncio.Task[bool] | None = None
        self._nodes: dict[asyncio.Task[Outcome], tuple[int, Work]] = {}
        self._known: dict[NodeKey, Attempts] = {}
        self._begun: set[Place] = set()  # told to the interpreter as begun
        self._dropped: set[Place] = set()  # cancelled for themselves: nothing is told of them
        self._yields = False
        self._is_interrupted = False
        self._asking: asyncio.Task[None] | None = None
        self._fault: BaseException | None = None

    async def drive(self) -> RegionResult:
        """Run until nothing more can be done here, or until it must yield and what runs has ended."""
        await self._open_slices()
        await self._recall()
        try:
            await self._run_all()
        finally:
            await self._end_tasks()
        if self._fault is not None:
            raise self._fault
        return await _to_the_end(self._conclude())

    async def _conclude(self) -> RegionResult:
        self._result.more = self._has_more()
        if self._result.more:
            await self._keep_checkpoints()
        await self._commit_inner()
        if self._request.closing is not None and not self._result.more and not self._is_interrupted:
            await self._close(self._request.closing)
        return self._result

    async def _recall(self) -> None:
        """Learn what earlier tries of this segment have committed."""
        if activity.info().attempt == 1 and not self._again:
            return
        nodes = self._runtime.program.plan.nodes
        fused = [(nodes[row[0]].path, tuple(one["it"])) for one in self._request.slices for row in one["n"]]
        places = [place for _, place in fused]
        self._known = await self._runtime.shared.recorder.checkpoints(
            self._runtime.tenant, self._execution_id, {path for path, _ in fused}, min(places), max(places)
        )

    # ---- the loop

    async def _run_all(self) -> None:
        while True:
            self._gather()
            if not self._must_yield():
                self._start_some()
            running = self._running()
            if not running:
                return
            try:
                await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            except asyncio.CancelledError:
                self._interrupt()
            self._reap()

    def _running(self) -> list[asyncio.Task[Any]]:
        return [*self._nodes, *([self._wave] if self._wave is not None else [])]

    def _gather(self) -> None:
        """Take what has become ready, and cancel what its own graph wants cancelled."""
        nodes = self._runtime.program.plan.nodes
        for number, one in enumerate(self._slices):
            for key in one.run.take_cancels():
                self._cancel((number, key))
            for work in one.run.take_ready():
                is_io = work.kind == "node" and nodes[work.subject].fused
                (self._io if is_io else self._local).append((number, work))

    def _must_yield(self) -> bool:
        self._yields = self._yields or self._is_spent() or activity.is_worker_shutdown()
        return self._yields or self._fault is not None

    def _start_some(self) -> None:
        if self._local and self._wave is None:
            wave, self._local = self._wanted(self._local), []
            if wave:
                self._wave = asyncio.create_task(self._run_wave(wave))
        while self._io and len(self._nodes) < self._parallel:
            number, work = self._io.popleft()
            if self._wanted([(number, work)]):
                self._nodes[asyncio.create_task(self._start(number, work).end())] = (number, work)

    def _wanted(self, works: list[tuple[int, Work]]) -> list[tuple[int, Work]]:
        return [(number, work) for number, work in works if self._slices[number].run.works.get(work.key) is work]

    def _start(self, number: int, work: Work) -> FusedNode:
        run, node = self._slices[number].run, self._runtime.program.plan.nodes[work.subject]
        run.mark_started(work, time.time())
        request = NodeRequest(
            meta=self._runtime.meta,
            node=node.index,
            path=node.path,
            iteration=list(work.iteration),
            generation=work.generation,
            scope=scope_of(run, work),
            inline_limit=self._request.inline_limit,
            again=self._again,
        )
        known = self._known.get((node.path, work.iteration, work.generation))
        return FusedNode(self._runtime, request, known)

    def _reap(self) -> None:
        if self._wave is not None and self._wave.done():
            wave, self._wave = self._wave, None
            self._note_fault(wave)
        for task in [task for task in self._nodes if task.done()]:
            number, work = self._nodes.pop(task)
            self._ended(number, work, task)

    def _note_fault(self, task: asyncio.Task[Any]) -> None:
        """What is no outcome ends the segment, once all that runs has ended: Temporal tries it again."""
        if not task.cancelled() and (error := task.exception()) is not None:
            self._fault = self._fault or error

    # ---- the ends of I/O nodes

    def _ended(self, number: int, work: Work, task: asyncio.Task[Outcome]) -> None:
        if (number, work.key) in self._dropped:
            self._give_back(number, work)
        elif task.cancelled():
            self._cancelled(number, work)
        elif isinstance(error := task.exception(), GoesAlone):
            self._give_back(number, work)
            self._result.outcomes.append([number, "alone", work.subject, [error.lost]])
        elif error is not None:
            self._note_fault(task)
            self._give_back(number, work)
        else:
            self._take(number, work, task.result())

    def _give_back(self, number: int, work: Work) -> None:
        """Leave the node to the interpreter, as one that is still to be run."""
        self._slices[number].run.works.pop(work.key, None)
        self._yields = True

    def _cancelled(self, number: int, work: Work) -> None:
        outcome = Outcome("cancelled", attempts=work.attempt, finished_at=time.time())
        run = self._slices[number].run
        if self._slices[number].frame.stopping:
            self._emit(number, "node", work.subject, outcome)
            run.complete(work.key, outcome, outcome.finished_at)
            self._note_settled(number)
        else:
            self._give_back(number, work)

    def _take(self, number: int, work: Work, outcome: Outcome) -> None:
        node = self._runtime.program.plan.nodes[work.subject] if work.kind == "node" else None
        if outcome.status == "failed":
            self._tell_begun(number)
        if node is not None and node.fused and (hands_back(node, outcome) or outcome.opened is not None):
            self._emit(number, "node", work.subject, outcome)
            self._give_back(number, work)
            return
        super()._take(number, work, outcome)

    def _tell_begun(self, number: int) -> None:
        """Before a failure that may stop the graph: what runs beside it will have an end of its own."""
        for at, work in self._nodes.values():
            if at == number and (at, work.key) not in self._begun:
                self._begun.add((at, work.key))
                self._result.outcomes.append([number, "begun", work.subject, []])

    def _settle_own(self, number: int, settled: Settled) -> None:
        if self._slices[number].readies_outside(settled):
            self._yields = True
        super()._settle_own(number, settled)

    def _keep_row(self, settled: Settled) -> None:
        if not settled.node.fused or settled.state.status == "pruned":
            super()._keep_row(settled)
        else:
            self._own.append(self._row(settled))  # on record already

    def _hand_back(self, number: int, node: Any, outcome: Outcome) -> None:
        self._yields = True
        super()._hand_back(number, node, outcome)

    # ---- interruptions

    def _cancel(self, place: Place) -> None:
        for task, (number, work) in self._nodes.items():
            if (number, work.key) == place:
                task.cancel()

    def _interrupt(self) -> None:
        """Start nothing more; learn what must not go on."""
        self._yields = True
        if not _is_asked():
            raise asyncio.CancelledError
        self._is_interrupted = True
        if self._asking is None:
            self._asking = asyncio.create_task(self._ask())

    async def _ask(self) -> None:
        """Stop what is unwanted, over and over: more may become so while the rest runs to its end."""
        info = activity.info()
        handle = self._runtime.shared.temporal.get_workflow_handle(
            cast("str", info.workflow_id), run_id=info.workflow_run_id
        )
        while True:
            try:
                answer: dict[str, list[Any]] = await handle.query(UNWANTED, self._number, result_type=dict)
            except RPCError:
                answer = {"slices": [], "nodes": []}  # asked again
            self._stop(answer)
            await asyncio.sleep(ASK_AGAIN_S)

    def _stop(self, unwanted: dict[str, list[Any]]) -> None:
        for number in unwanted["slices"]:
            one = self._slices[number]
            one.run.cancel(one.frame)
            for key in one.run.take_cancels():
                self._cancel((number, key))
        for number, node in unwanted["nodes"]:
            place: Place = (number, ("node", node, self._slices[number].frame.iteration))
            self._dropped.add(place)
            self._cancel(place)

    async def _end_tasks(self) -> None:
        """Leave nothing running behind."""
        tasks = [*self._running(), *([self._asking] if self._asking is not None else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _to_the_end(work: Coroutine[Any, Any, RegionResult]) -> RegionResult:
    """Await `work` over a cancellation that comes now: without the answer, nodes would be looked up all over again."""
    task = asyncio.create_task(work)
    while True:
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            if task.cancelled():
                raise


def _is_asked() -> bool:
    """Whether a cancellation is the interpreter's, which waits for an answer, and not the end of this worker."""
    details = activity.cancellation_details()
    return details is not None and details.cancel_requested and not details.worker_shutdown


def hand_segment_back() -> None:
    """Say with the last heartbeat that no worker was lost, though nodes may have been cut off."""
    activity.heartbeat(activity.info().attempt, False)
