"""The order in which an execution took its outcomes, read from its Temporal history, and the reference fed with it.

The history is replayed with the interpreter's own code while the core is watched: so the order is the one that Temporal
has on record, and the replay shows besides that the interpreter is deterministic. Bodies that ran inside a region
have no events; they go in waves, as regions do.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import pytest
from temporalio.client import WorkflowHistory
from temporalio.converter import DataConverter
from temporalio.worker import Replayer

from engine.dag import outcome as core
from engine.dag.execution import Execution
from engine.dag.frame import NodeState
from engine.dag.plan import Plan
from engine.dag.work import Iteration, Work, WorkKey
from engine.errors import CANCELLED
from engine.workflows.execution import ExecutionWorkflow
from tests.reference.evaluate import Failure, Outcome
from tests.reference.frames import Key, State
from tests.reference.interpreter import Due, Reference

Place = tuple[str, Iteration]
_NODE_PARTS = ("node", "open", "assign", "timer:delay", "timer:retry")


@dataclass(slots=True)
class Event:
    """Work that was started, or whose outcome was taken; `state` is how its node stood after that."""

    what: Literal["started", "ended"]
    work: Work
    outcome: core.Outcome | None
    state: NodeState | None
    settled: bool
    status: str
    alive: frozenset[WorkKey]  # all work that was wanted after it


@contextmanager
def watched(events: list[Event]) -> Generator[None]:
    """Note what every execution of this process starts and takes."""
    started, complete = Execution.mark_started, Execution.complete

    def note(run: Execution, what: Any, work: Work, outcome: core.Outcome | None, state: NodeState | None) -> None:
        status = state.status if state is not None else ""
        events.append(Event(what, work, outcome, state, bool(state and state.settled), status, frozenset(run.works)))

    def state_of(run: Execution, work: Work) -> NodeState | None:
        is_node = work.kind not in ("pass", "outputs") and work.subject >= 0
        return run.frame_of(work).nodes[work.subject] if is_node else None

    def watch_started(self: Execution, work: Work, now: float) -> None:
        started(self, work, now)
        note(self, "started", work, None, None)

    def watch_complete(self: Execution, key: WorkKey, outcome: core.Outcome, now: float) -> bool:
        work = self.works.get(key)
        if work is None:
            return complete(self, key, outcome, now)
        state = state_of(self, work)
        taken = complete(self, key, outcome, now)
        note(self, "ended", work, outcome, state)
        return taken

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Execution, "mark_started", watch_started)
        patch.setattr(Execution, "complete", watch_complete)
        yield


async def observe(history: WorkflowHistory, converter: DataConverter) -> list[Event]:
    """What the history says, in its order.

    Raises: an error if it does not replay.
    """
    events: list[Event] = []
    with watched(events):
        await Replayer(workflows=[ExecutionWorkflow], data_converter=converter).replay_workflow(history)
    return events


@dataclass
class Feeder:
    """Feeds a reference in `manual` mode. `cut` are container runs that were cancelled inside a region."""

    reference: Reference
    plan: Plan
    cut: list[Place] = field(default_factory=list[Place])
    adopted: list[Place] = field(default_factory=list[Place])  # run by a segment that did not know yet of a stop

    def feed(self, event: Event) -> None:
        work = event.work
        if event.what == "started":
            self._started(work)
        elif work.kind in ("pass", "outputs"):
            self._closed(work)
        elif work.kind == "timer" and work.purpose != "delay":
            self._fired(work)
        elif self.plan.nodes[work.subject].bodies:
            self._container_part(event)
        elif event.settled:
            self._node_ended(event)
        self._drop_unstarted(event.alive)

    # ---- nodes

    def _started(self, work: Work) -> None:
        if work.kind in ("pass", "outputs"):
            return
        node, place = self.plan.nodes[work.subject], self._place(work)
        if node.kind == "io" and any(key[:2] == place for key in self.reference.running()):
            return  # a segment gave it back before it began, and now it is started again
        if node.fused and not any(key[:2] == place for key in self.reference.waiting()):
            self.adopted.append(place)
            return
        if node.kind == "io" and work.attempt == 1:
            self.reference.start(*_only([key for key in self.reference.waiting() if key[:2] == place], place))
        elif node.bodies and work.kind == "node":
            self.reference.hold(*place)
        elif node.bodies and work.kind == "open":
            self.reference.begin(*place)

    def _node_ended(self, event: Event) -> None:
        place = self._place(event.work)
        if place in self.adopted:
            return
        key = _only([key for key in self.reference.running() if key[:2] == place], place)
        assert event.state is not None
        outcome = None
        if event.status == "cancelled":
            outcome = Outcome("cancelled", error=Failure(CANCELLED, "cancelled").error, attempts=event.state.attempts)
        elif event.status == "failed" and self.reference.is_stopping(*key):
            outcome = Outcome(
                "failed", error=event.state.error, attempts=event.state.attempts
            )  # its retries were cut short
        self.reference.complete(*key, outcome=outcome)

    def _drop_unstarted(self, alive: frozenset[WorkKey]) -> None:
        """What is ready and has not begun when its graph stops never runs; the reference thinks that it does.

        What else runs there alone begins later here: handlers, while the opening of a container is still awaited.
        """
        while stopped := [
            key for key in self.reference.running() if self.reference.is_stopping(*key) and self._never_ran(key, alive)
        ]:
            self.reference.complete(*stopped[0], outcome=Outcome("cancelled", attempts=0))

    def _never_ran(self, key: Key, alive: frozenset[WorkKey]) -> bool:
        index = self.plan.by_path[key[0]].index
        wanted = any((part, index, key[1]) in alive for part in _NODE_PARTS)
        return not wanted and not self.reference.is_held(*key)

    # ---- containers, and work without a row

    def _container_part(self, event: Event) -> None:
        work, place = event.work, self._place(event.work)
        if work.kind != "node":
            self._perform(work.kind, place)
        elif event.status == "cancelled":
            self.cut.append(place)
            self.reference.abandon(*place)
        else:
            self._run_body(place)

    def _closed(self, work: Work) -> None:
        graph = self.plan.graphs[work.subject]
        if graph.owner is None:
            self._perform("close", None)
            return
        owner = self.plan.nodes[graph.owner]
        if owner.kind == "loop":
            self._perform("close", (owner.path, work.iteration[:-1]), work.iteration[-1])
        else:
            self._perform("close", (owner.path, work.iteration), graph.id)

    def _fired(self, work: Work) -> None:
        if work.purpose == "execution":
            self._perform("attempt", None)
        elif work.purpose == "retry" and self.plan.nodes[work.subject].bodies:
            self._perform("again", self._place(work))

    def _perform(self, kind: str, place: Place | None, part: int | str | None = None) -> None:
        """Do what is due; what was cancelled while it was under way is not due in the reference any more."""
        for due in self.reference.due():
            if (due.kind, due.part, due.key[:2] if due.key else None) == (kind, part, place):
                self.reference.perform(due)
                return

    def _run_body(self, place: Place) -> None:
        """Run a whole container to its end in waves, as a region does: all that is ready starts, then it ends."""
        following = self._inside(place)
        while not self.reference.is_over(*place):
            wave, following = following, []
            assert wave, f"{place} does not end in the reference"
            for item in wave:
                if isinstance(item, Due):
                    if item in self.reference.due():
                        self.reference.perform(item)
                elif item in self.reference.running():
                    path, iteration, generation = item
                    self.reference.complete(path, iteration, generation)
                self._drop_stopped(place, wave)
                found = self._inside(place)
                following = [known for known in following if known in found]
                following += [one for one in found if one not in wave and one not in following]

    def _drop_stopped(self, place: Place, wave: list[Due | Key]) -> None:
        """What has not started in this wave when its graph stops never does."""
        while stopped := [
            key
            for key in self.reference.running()
            if _is_below(key, place) and key not in wave and self.reference.is_stopping(*key)
        ]:
            self.reference.complete(*stopped[0], outcome=Outcome("cancelled", attempts=0))

    def _inside(self, place: Place) -> list[Due | Key]:
        """Plain nodes that run and work that is due, of the container and below it."""
        path, iteration = place
        found: list[Due | Key] = [key for key in self.reference.running() if _is_below(key, place)]
        for due in self.reference.due():
            key = due.key
            if key is not None and (_is_below(key, place) or key[:2] == (path, iteration)):
                found.append(due)
        return found

    def _place(self, work: Work) -> Place:
        return (self.plan.nodes[work.subject].path, work.iteration)


def _is_below(key: Key, place: Place) -> bool:
    return key[0].startswith(f"{place[0]}.") and key[1][: len(place[1])] == place[1]


def _only(found: list[Key], place: Place) -> Key:
    assert found, f"{place} cannot be so in the reference"
    return found[0]


def comparable(rows: dict[Key, State], cut: list[Place]) -> dict[Key, State]:
    """Rows without what only time decides.

    That is how often a cancelled node had been tried, what a cut off body had done, and the output of a failure: the
    activity records `{"error": ...}` for one that is handled before anybody knows that the graph is stopping, which
    leaves it unhandled.
    """
    kept = {key: state for key, state in rows.items() if not any(_is_below(key, place) for place in cut)}
    for key, state in kept.items():
        if state.status == "cancelled":
            kept[key] = State("cancelled", None, None, 0)
        elif state.status == "failed":
            kept[key] = replace(state, output=None)
    return kept
