"""Segments: fused I/O nodes and the local nodes between them, driven to their ends by one activity.

A segment has its nodes until it ends: what of them becomes ready here meanwhile waits for it, so none runs twice. Who
needs one of them, or wants the execution to pause or to stop, interrupts the segment; it asks UNWANTED what must not
go on, starts nothing more, and answers when the rest has ended.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from temporalio import workflow

from engine.contracts import RUN_SEGMENT, RegionResult, SegmentRequest
from engine.dag.outcome import Outcome
from engine.dag.slices import Held, NodeKey, cut, hands_back
from engine.dag.work import Iteration, Work, WorkKey
from engine.workflows import options
from engine.workflows.regions import summary_of

if TYPE_CHECKING:
    from engine.workflows.driver import Driver


@dataclass(slots=True)
class Segment:
    """A segment under way. `parallel` I/O nodes at most run in it."""

    number: int
    works: list[Work]
    slices: list[dict[str, Any]]
    parallel: int
    handle: Any = None
    is_interrupted: bool = False
    skipped: dict[NodeKey, None] = field(default_factory=dict[NodeKey, None])
    postponed: list[tuple[Callable[[], bool], asyncio.Future[bool]]] = field(default_factory=list[Any])

    def nodes(self) -> dict[NodeKey, None]:
        return {(row[0], tuple(one["it"])): None for one in self.slices for row in one["n"]}

    def slice_of(self, key: NodeKey) -> int:
        """The number of the slice that has the node."""
        node, iteration = key
        here = [at for at, one in enumerate(self.slices) if tuple(one["it"]) == iteration]
        return next(at for at in here if any(row[0] == node for row in self.slices[at]["n"]))

    def place(self, number: int) -> Iteration:
        return tuple(self.slices[number]["it"])


class Segments:
    """The segments of one driver; of a plan without fused nodes there are none."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self.enabled = any(node.fused for node in driver.run.plan.nodes)
        self._waiting: list[Work] = []
        self._running: dict[int, Segment] = {}
        self._held: dict[NodeKey, int] = {}  # the number of the segment that has the node
        self._number = 0
        self._unsure = False  # a segment has ended without an answer
        self._alone: dict[WorkKey, int] = {}  # nodes that go to an activity of their own: workers lost under them

    @property
    def busy(self) -> bool:
        return bool(self._running)

    @property
    def reserved(self) -> int:
        """Places among the nodes that may run at once."""
        return sum(segment.parallel for segment in self._running.values())

    @property
    def held(self) -> Held | None:
        """Nodes that a segment or the region has; None if the plan fuses nothing."""
        if not self.enabled:
            return None
        return {**self._held, **dict.fromkeys(self._driver.regions.held())}

    # ---- works in

    def takes(self, work: Work) -> bool:
        """Whether a node that is not local goes to a segment."""
        node = self._driver.run.plan.nodes[work.subject]
        return node.fused and work.attempt == 1 and work.key not in self._alone

    def add(self, work: Work) -> None:
        """Take work for the next segment, or for a region if it leads to no I/O."""
        self._waiting.append(work)

    def take_lost(self, work: Work) -> int:
        """Workers that were lost under a node that now runs alone."""
        return self._alone.pop(work.key, 0)

    def start(self) -> None:
        """Start a segment with what waits and leads to I/O nodes; hand the rest to the region."""
        if not self._waiting:
            return
        held = self.held or {}
        works = [work for work in self._waiting if self._driver.is_wanted(work)]
        self._waiting = [work for work in works if _key_of(work) in held]
        own: list[Work] = []
        slices: list[dict[str, Any]] = []
        for group in self._by_frame([work for work in works if _key_of(work) not in held]):
            (one,) = cut(self._driver.run, group, held)
            if self._fused_in(one):
                own += group
                slices.append(one)
            else:
                for work in group:
                    self._driver.regions.add(work)
        if slices:
            self._begin(own, slices)

    def _by_frame(self, works: list[Work]) -> list[list[Work]]:
        groups: dict[Any, list[Work]] = {}
        for work in works:
            groups.setdefault(self._driver.run.frame_of(work).key, []).append(work)
        return list(groups.values())

    def _fused_in(self, one: dict[str, Any]) -> int:
        nodes = self._driver.run.plan.nodes
        return sum(nodes[row[0]].fused for row in one["n"])

    def _begin(self, works: list[Work], slices: list[dict[str, Any]]) -> None:
        driver, room = self._driver, self._driver.room
        if room < 1:
            self._waiting += works
            return
        for work in works:
            driver.run.mark_started(work, driver.now)
        self._number += 1
        parallel = min(room, sum(self._fused_in(one) for one in slices))
        segment = self._running[self._number] = Segment(self._number, works, slices, parallel)
        self._held.update(dict.fromkeys(segment.nodes(), segment.number))
        segment.handle = workflow.start_activity(
            RUN_SEGMENT,
            self._request(segment),
            result_type=RegionResult,
            summary=summary_of(driver.run, slices),
            **options.segment(self._longest_s(slices)),
        )
        driver.when_done(segment.handle, lambda done: self._done(segment, done))

    def _request(self, segment: Segment) -> SegmentRequest:
        driver = self._driver
        request = SegmentRequest(
            meta=driver.meta,
            slices=segment.slices,
            budget_s=options.SEGMENT_BUDGET_S,
            inline_limit=driver.inline_limit(),
            number=segment.number,
            parallel=segment.parallel,
            rows=driver.ledger.take_unsent(),
            again=self._unsure,
        )
        if len(segment.slices) == 1 and segment.slices[0].get("w") and not driver.ledger.unsent:
            request.closing = driver.closing(segment.slices[0])
        return request

    def _longest_s(self, slices: list[dict[str, Any]]) -> float:
        nodes = self._driver.run.plan.nodes
        return max(nodes[row[0]].timeout_s for one in slices for row in one["n"])

    # ---- interruptions

    def cancel(self, key: WorkKey) -> None:
        """Interrupt the segment that has this work."""
        for segment in self._running.values():
            if any(work.key == key for work in segment.works):
                self._interrupt(segment)

    def interrupt_all(self) -> None:
        """Have every segment start nothing more and end with what runs."""
        for segment in self._running.values():
            self._interrupt(segment)

    def _interrupt(self, segment: Segment) -> None:
        if not segment.is_interrupted:
            segment.is_interrupted = True
            segment.handle.cancel()

    def holds(self, path: str, iteration: Iteration) -> bool:
        """Whether a segment may run this node, or is running it."""
        node = self._driver.run.plan.by_path.get(path)
        return node is not None and (node.index, iteration) in self._held

    def after(self, path: str, iteration: Iteration, act: Callable[[], bool]) -> asyncio.Future[bool]:
        """Stop that node and call `act` when its segment has ended, before another begins; its answer."""
        key = (self._driver.run.plan.by_path[path].index, iteration)
        segment = self._running[self._held[key]]
        answer: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        segment.postponed.append((act, answer))
        segment.skipped[key] = None
        self._interrupt(segment)
        return answer

    def unwanted(self, number: int) -> dict[str, list[Any]]:
        """What must not go on in a segment: `slices` by number, `nodes` as [slice number, node]."""
        segment = self._running.get(number)
        if segment is None:
            return {"slices": [], "nodes": []}
        frames = [self._driver.run.frames.get((one["g"], tuple(one["it"]))) for one in segment.slices]
        slices = [index for index, frame in enumerate(frames) if frame is None or frame.stopping]
        nodes = [[segment.slice_of(key), key[0]] for key in segment.skipped]
        return {"slices": slices, "nodes": nodes}

    # ---- the end of a segment

    def _done(self, segment: Segment, handle: asyncio.Task[Any]) -> None:
        driver = self._driver
        del self._running[segment.number]
        for key in segment.nodes():
            del self._held[key]
        if handle.cancelled() or handle.exception() is not None:
            self._unsure = True  # what it has done, only the record knows
        else:
            result = cast("RegionResult", handle.result())
            driver.closed = driver.closed or result.closed
            driver.ledger.add_inner(result.inner[0], result.inner[1])
            self._apply(segment, result)
        self._put_back(segment.works)
        for act, answer in segment.postponed:
            done = act()
            if not answer.done():
                answer.set_result(done)
        driver.wake()

    def _put_back(self, works: list[Work]) -> None:
        """What a segment has not ended comes first in the next, unless it is to run alone."""
        driver = self._driver
        for work in works:
            if driver.is_wanted(work) and driver.run.frame_of(work).stopping:
                driver.complete(work.key, Outcome("cancelled", attempts=0))
        left = [work for work in works if driver.is_wanted(work)]
        for work in left:
            driver.run.mark_waiting(work)
        self._waiting = [work for work in left if work.key not in self._alone] + self._waiting
        driver.run.give_back([work for work in left if work.key in self._alone])

    def _apply(self, segment: Segment, result: RegionResult) -> None:
        """Replay what the segment did, in its order."""
        driver = self._driver
        driver.regions.take_checkpoints(segment.slices, result)
        driver.note_settled()
        for number, kind, subject, _ in result.outcomes:
            if kind in ("node", "begun"):
                driver.run.adopt(subject, segment.place(number))
        recorded: dict[NodeKey, None] = {}
        for number, kind, subject, wire in result.outcomes:
            self._take((kind, subject, segment.place(number)), wire, recorded)
        driver.note_settled(recorded, segment.nodes())
        driver.on_progress()

    def _take(self, key: WorkKey, wire: list[Any], recorded: dict[NodeKey, None]) -> None:
        run = self._driver.run
        kind, subject, iteration = key
        node_key: WorkKey = ("node", subject, iteration)
        if kind == "alone":
            self._alone[node_key] = wire[0]
            return
        work = run.works.get(node_key) if kind in ("node", "begun") else None
        if work is not None and not work.started and run.plan.nodes[subject].fused:
            run.mark_started(work, self._driver.now)
        if kind == "begun":
            return
        outcome = Outcome.from_wire(wire)
        if kind == "node" and not hands_back(run.plan.nodes[subject], outcome):
            recorded[(subject, iteration)] = None
        self._driver.regions.take(key, outcome)


def _key_of(work: Work) -> NodeKey:
    """The node that the work runs; of other work, no node."""
    return (work.subject if work.kind == "node" else -1, work.iteration)
