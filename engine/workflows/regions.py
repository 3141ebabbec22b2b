"""Regions: local nodes that are ready, driven to their ends by one activity, a slice of the run at a time.

A region is a local activity that is tried once. One that breaks, or that has more to do than a workflow task allows,
goes on as an activity of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from temporalio import workflow
from temporalio.exceptions import ActivityError, CancelledError

from engine.contracts import RUN_REGION, RegionRequest, RegionResult
from engine.dag.outcome import Outcome
from engine.dag.slices import cut, hands_back
from engine.dag.state import Run
from engine.dag.work import Work, WorkKey
from engine.workflows import options
from engine.workflows.failures import outcome_of_failure

if TYPE_CHECKING:
    from engine.workflows.driver import Driver

NodeKey = tuple[int, tuple[int, ...]]
SPARE_NEIGHBOURS = "cancelled-region-spares-neighbours"


class Regions:
    """The regions of one driver: one at a time, with everything local that has become ready since the last."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self._waiting: list[Work] = []
        self._handle: Any = None
        self._works: list[Work] = []
        self._remote = False
        self._remote_next = False
        self._ends: dict[WorkKey, Outcome] = {}  # of graphs that a region closed before the run asked for it
        self._slices: list[dict[str, Any]] = []  # of the region that runs
        self._told: dict[WorkKey, None] = {}  # its works that were told to stop
        self._postponed: list[tuple[Callable[[], bool], asyncio.Future[bool]]] = []  # what waits for its end

    @property
    def busy(self) -> bool:
        return self._handle is not None

    def add(self, work: Work) -> None:
        """Take work for the next region."""
        self._waiting.append(work)

    def holds(self, path: str, iteration: tuple[int, ...]) -> bool:
        """Whether the region that runs may run this node, or is running it."""
        node = self._driver.run.plan.by_path.get(path)
        here = [one for one in self._slices if tuple(one["it"]) == iteration]
        return node is not None and any(row[0] == node.index for one in here for row in one["n"])

    def held(self) -> list[NodeKey]:
        """The nodes that the region which runs has."""
        return [(row[0], tuple(one["it"])) for one in self._slices for row in one["n"]]

    def after(self, act: Callable[[], bool]) -> asyncio.Future[bool]:
        """Call `act` when the region that runs has ended and before another begins; its answer."""
        answer: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._postponed.append((act, answer))
        return answer

    def take_end(self, key: WorkKey) -> Outcome | None:
        """The end of a graph, if a region has worked it out already."""
        return self._ends.pop(key, None)

    def start(self) -> None:
        """Start a region with what waits, if none runs."""
        if self._handle is not None:
            return
        driver = self._driver
        works = [work for work in self._waiting if driver.is_wanted(work)]
        self._waiting = []
        if not works:
            return
        for work in works:
            driver.run.mark_started(work, driver.now)
        slices = cut(driver.run, works, driver.segments.held)
        budget_s = self._budget_s()
        request = RegionRequest(driver.meta, slices, budget_s, driver.inline_limit(), driver.ledger.take_unsent())
        if len(slices) == 1 and slices[0].get("w") and not driver.ledger.unsent:
            request.closing = driver.closing(slices[0])
        self._works, self._remote, self._slices = works, self._remote_next, slices
        self._handle = self._begin(request)
        driver.when_done(self._handle, lambda done: self._done(slices, works, done))

    def _budget_s(self) -> float:
        if self._remote_next:
            return options.REMOTE_BUDGET_S
        return options.BESIDE_IO_BUDGET_S if self._driver.has_io else options.LOCAL_BUDGET_S

    def _begin(self, request: RegionRequest) -> Any:
        summary = summary_of(self._driver.run, request.slices)
        if self._remote:
            kept = options.until_done(request.budget_s + 25, heartbeat=True)
            return workflow.start_activity(RUN_REGION, request, result_type=RegionResult, summary=summary, **kept)
        once = options.local_once(request.budget_s + 5)
        return workflow.start_local_activity(RUN_REGION, request, result_type=RegionResult, summary=summary, **once)

    def cancel(self, key: WorkKey) -> None:
        """Stop the region that has this work, if it is an activity; a local one ends by itself soon enough."""
        if self._remote and any(work.key == key for work in self._works):
            self._told[key] = None
            self._handle.cancel()

    def _done(self, slices: list[dict[str, Any]], works: list[Work], handle: asyncio.Task[Any]) -> None:
        driver = self._driver
        remote, self._handle, self._works, self._slices = self._remote, None, [], []
        if handle.cancelled() or handle.exception() is not None:
            self._failed(works, handle, remote=remote)
        else:
            result = cast("RegionResult", handle.result())
            self._remote_next = result.more
            driver.closed = result.closed
            driver.ledger.add_inner(result.inner[0], result.inner[1])
            self._apply(slices, result)
            self._keep(works)
        self._told = {}
        self._act()
        driver.wake()

    def _act(self) -> None:
        """Do what waited for the region's end."""
        postponed, self._postponed = self._postponed, []
        for act, answer in postponed:
            done = act()
            if not answer.done():
                answer.set_result(done)

    def _keep(self, works: list[Work]) -> None:
        """What a region has not ended comes first in the next."""
        self._waiting = [work for work in works if self._driver.is_wanted(work)] + self._waiting

    def _failed(self, works: list[Work], handle: asyncio.Task[Any], *, remote: bool) -> None:
        """A region that was cancelled or broke: try it as an activity, then give its works up."""
        error = None if handle.cancelled() else handle.exception()
        if error is None or (isinstance(error, ActivityError) and isinstance(error.cause, CancelledError)):
            outcome = Outcome("cancelled")
            works = self._without_neighbours(works)
        elif not remote:
            self._remote_next = True
            self._keep(works)
            return
        else:
            outcome = outcome_of_failure(error, 1)
        self._remote_next = False
        for work in works:
            if self._driver.is_wanted(work):
                self._driver.complete(work.key, outcome)

    def _without_neighbours(self, works: list[Work]) -> list[Work]:
        """The works that a cancelled region was cancelled for; the others go into the next region."""
        spared = [work for work in works if work.key not in self._told and self._driver.is_wanted(work)]
        if not spared or not workflow.patched(SPARE_NEIGHBOURS):
            return works
        self._waiting = spared + self._waiting
        return [work for work in works if work.key in self._told]

    def _apply(self, slices: list[dict[str, Any]], result: RegionResult) -> None:
        """Replay what the region did, in its order."""
        driver = self._driver
        self.take_checkpoints(slices, result)
        driver.note_settled()
        sliced: dict[NodeKey, None] = {(row[0], tuple(one["it"])): None for one in slices for row in one["n"]}
        recorded: dict[NodeKey, None] = {}
        for number, kind, subject, wire in result.outcomes:
            iteration = tuple(slices[number]["it"])
            outcome = Outcome.from_wire(wire)
            if kind == "node" and not hands_back(driver.run.plan.nodes[subject], outcome):
                recorded[(subject, iteration)] = None
            self.take((kind, subject, iteration), outcome)
        driver.note_settled(recorded, sliced)
        driver.on_progress()

    def take_checkpoints(self, slices: list[dict[str, Any]], result: RegionResult) -> None:
        """Keep the state of containers that are half way."""
        for number, subject, value in result.checkpoints:
            frame = self._driver.run.frames.get((slices[number]["g"], tuple(slices[number]["it"])))
            if frame is not None and not frame.nodes[subject].settled:
                frame.nodes[subject].checkpoint = value

    def take(self, key: WorkKey, outcome: Outcome) -> None:
        """Take what a region or a segment made of a piece of work, also of one that is not asked for yet."""
        run = self._driver.run
        work = run.works.get(key)
        if work is None:
            if key[0] in ("pass", "outputs"):
                self._ends[key] = outcome
            return
        work.started = True
        run.complete(key, outcome, outcome.finished_at or self._driver.now)


def summary_of(run: Run, slices: list[dict[str, Any]]) -> str:
    """The names of the nodes in the slices, the first of them."""
    names = [run.plan.nodes[row[0]].name for one in slices for row in one["n"][:6]]
    total = sum(len(one["n"]) for one in slices)
    more = f" and {total - 6} more" if total > 6 else ""
    return (", ".join(names[:6]) + more)[:200] or "outputs"
