"""Drives `engine.dag.execution` and the reference side by side, in one random order of events.

After each event both must have the same nodes running, the same I/O nodes waiting for a slot and the same work due;
each outcome is worked out twice, from the core's scope and from the reference's, and must be the same.
"""

from __future__ import annotations

import json
import random
from typing import Any

from engine.dag import outcome as core
from engine.dag.compile import compile_plan
from engine.dag.execution import Execution
from engine.dag.snapshot import restore_execution, take_execution
from engine.dag.spec import WorkflowSpec
from engine.dag.values import Value, inline, read
from engine.dag.work import Work, WorkKey
from engine.errors import CANCELLED
from engine.expressions.references import AstReferenceParser
from engine.nodes.registry import built_in_catalogue
from tests.reference import evaluate
from tests.reference.comparison import canonical, shape
from tests.reference.documents import graphs_of, specs_by_path
from tests.reference.evaluate import Failure, Outcome
from tests.reference.evaluating import Place
from tests.reference.frames import Key, State, error_policy
from tests.reference.interpreter import Due, Reference
from tests.reference.operators import Delayed, Operators
from tests.reference.people import Asked


class Pair(Operators):
    """One execution in both. `step` makes one thing happen; `done` once it has ended."""

    def __init__(self, spec: WorkflowSpec, data: Any, trigger: str | None, rng: random.Random) -> None:
        self.rng = rng
        self.spec = spec
        self.plan = compile_plan(spec, built_in_catalogue(), AstReferenceParser())
        self.specs = specs_by_path(spec)
        self.graphs = {node.id: graph for graph, nodes in graphs_of(spec) for node in nodes}
        self.reference = Reference(spec, data, trigger, manual=True)
        for node in self.plan.nodes:
            node.local = node.local and not node.bodies  # every container is opened here, none goes out whole
        self.core = Execution(self.plan)
        self.snapshots = self.skipped = self.retried = self.pauses = 0
        self.data = data
        self.tried: dict[Key, int] = {}  # attempts made with each idempotency key, as an effect server counts them
        self.held: list[Work] = []  # I/O works without a slot
        self.active: dict[WorkKey, tuple[Work, dict[str, Any], Any]] = {}
        self.asked: dict[WorkKey, Asked] = {}  # approvals that wait, by the key of their work
        self.delayed: dict[WorkKey, Delayed] = {}  # delays that wait, by the key of their timer
        self.paused = False
        self.kept: list[Work] = []  # I/O works that became ready since
        self.rowless: list[tuple[Work, dict[str, Any]]] = []
        self.timers: list[Work] = []
        self.timeouts: list[Work] = []  # of parallels; one in twenty fires
        self.cancelling: set[WorkKey] = set()
        self.rows: dict[Key, State] = {}
        index = self.plan.by_path[trigger].index if trigger else None
        self.core.begin(inline(data), index, 0.0, seed=[])
        self._take()

    @property
    def done(self) -> bool:
        return self.core.done

    # ---- events -------------------------------------------------------------------------------------------------

    def step(self) -> None:
        """One piece of due work, or one node that ends, at random; then both are compared."""
        if self.rowless and self.rng.random() < 0.7:
            self._do_rowless(self.rowless.pop(0))
        elif self.rowless or self.active or self.timers or self.asked or self.delayed:
            self._do_any()
        elif self.paused:
            self._pause(paused=False)
        else:
            raise AssertionError(f"the core is stuck; running in the reference: {self.reference.running()}")
        self._take()
        self._compare()

    def continue_as_new(self) -> bool:
        """Go on from a snapshot, as another run of the Temporal workflow does; False while a node runs."""
        if self.active or self.done or (self.paused and self.rowless):
            return False
        wire = json.loads(json.dumps(take_execution(self.core)))
        self.core = restore_execution(self.plan, wire, 0.0, shard_passes=0)
        begun = {work.key: names for work, names in self.rowless}  # their scopes were taken when they became ready
        self.rowless, self.timers, self.timeouts, self.held = [], [], [], []
        self._take()
        self.rowless = [(work, begun[work.key]) for work, _ in self.rowless]
        self.snapshots += 1
        self._compare()
        return True

    def interrupt(self, *, expire: bool) -> None:
        """Cancel the execution, or let its time run out."""
        if expire:
            self.reference.expire()
            self.core.time_out(0.0)
        else:
            self.reference.cancel()
            self.core.cancel_all(0.0)
        if self.paused:
            self._pause(paused=False)
        self._take()
        self._compare()

    def _do_any(self) -> None:
        waits = [*self.timers, *self.asked.values(), *self.delayed.values()]
        choices: list[Any] = [*self.rowless, *self.active.values(), *waits]
        chosen = self.rng.choice(choices)
        if self.timeouts and self.rng.random() < 0.05:
            self._time_out(self.timeouts.pop(0))
        elif isinstance(chosen, Asked):
            self._hear(chosen)
        elif isinstance(chosen, Delayed):
            self._end_delay(chosen)
        elif isinstance(chosen, Work):
            self.timers.remove(chosen)
            self._fire(chosen)
        elif len(chosen) == 2:
            self.rowless.remove(chosen)
            self._do_rowless(chosen)
        else:
            self._end_node(*chosen)

    def _fire(self, work: Work) -> None:
        if work.purpose == "execution":
            self._perform(Due("attempt"))
        else:
            self._perform(Due("again", self._key(work)))
        self._complete(work, core.Outcome("success"))

    def _time_out(self, work: Work) -> None:
        """The time of a parallel is up."""
        place = self._place(work)
        keys = [key for key in self.reference.containers() if key[:2] == place]
        assert keys, f"{place} runs in the core alone"
        self.reference.time_out(*keys[0])
        self._complete(work, core.Outcome("success"))

    def _perform(self, due: Due) -> None:
        """Tell the reference; generations are numbered in another order there, so they are looked up."""
        place = due.key[:2] if due.key else None
        found = [
            item
            for item in self.reference.due()
            if (item.kind, item.part) == (due.kind, due.part) and (item.key[:2] if item.key else None) == place
        ]
        assert found, f"the core did {due}; the reference has only {self.reference.due()}"
        self.reference.perform(found[0])

    def _complete(self, work: Work, outcome: core.Outcome) -> None:
        assert self.core.complete(work.key, outcome, 0.0), f"the core refused the outcome of {work}"

    # ---- nodes --------------------------------------------------------------------------------------------------

    def _end_node(self, work: Work, names: dict[str, Any], upstream: Value) -> None:
        del self.active[work.key]
        place = self._place(work)
        key = self._reference_key(place)
        kind = self.plan.nodes[work.subject].kind
        if work.key in self.cancelling and (kind in ("delay", "approval") or self.rng.random() < 0.6):
            ended = Outcome("cancelled", error=Failure(CANCELLED, "cancelled").error)
            self.reference.complete(*key, outcome=ended)
            self._count(work, 1)
            self._complete(work, core.Outcome("cancelled", attempts=1))
            return
        node = self.specs[place[0]]
        retry, _ = error_policy(node, self.graphs[node.id], self.spec.settings)
        ended = evaluate.evaluate_node(node, names, read(upstream), retry=retry, tried=self._tried(work))
        if kind == "approval" and ended.kind == "success":
            self._ask(Asked(work, node, ended, upstream))
            return
        if kind == "delay" and ended.kind == "success":
            self._delay(work, ended, upstream)
            return
        other = self.reference.complete(*key)
        assert shape(ended) == shape(other), f"{place} ended as {ended} in the core's scope, {other} in the reference"
        self._count(work, ended.attempts)
        outcome = self._core_outcome(work, ended, upstream)
        self._complete(work, outcome)

    # ---- delays

    def _delay(self, work: Work, ended: Outcome, upstream: Value) -> None:
        """It is open; from now on its timer runs."""
        self.delayed[("timer:delay", work.subject, work.iteration)] = Delayed(work, ended, upstream)
        self._complete(work, core.Outcome("success", opened={"until": 0.0}))

    def _end_delay(self, delayed: Delayed) -> None:
        """Its timer fires, and gives it what its `assign` gives."""
        work = delayed.work
        key: WorkKey = ("timer:delay", work.subject, work.iteration)
        del self.delayed[key]
        assert self.core.complete(key, core.Outcome("success"), 0.0)
        self._assign_at_once(work, delayed.ended, delayed.upstream)
        other = self.reference.complete(*self._reference_key(self._place(work)))
        assert shape(delayed.ended) == shape(other), f"{work} ended as {delayed.ended}, {other} in the reference"
        self._count(work, 1)

    def _assign_at_once(self, work: Work, ended: Outcome, upstream: Value) -> None:
        """What a node assigns that has waited; in one with its end, as the reference knows no other time."""
        assign = ("assign", work.subject, work.iteration)
        if assign in self.core.works:
            outcome = self._core_outcome(work, ended, upstream)
            self.core.complete(assign, core.Outcome("success", assigned=outcome.assigned), 0.0)

    def _undelay(self, key: WorkKey) -> None:
        """It was cancelled while it waited; the reference waits to be told so."""
        delayed = self.delayed.pop(key)
        ended = Outcome("cancelled", error=Failure(CANCELLED, "cancelled").error, attempts=0)
        self.reference.complete(*self._reference_key(self._place(delayed.work)), outcome=ended)

    # ---- approvals

    def _ask(self, asked: Asked) -> None:
        """The approval opens; from now on people speak."""
        work = asked.work
        self.asked[("approval", work.subject, work.iteration)] = asked
        self._complete(work, core.Outcome("success", opened=asked.opened()))

    def _hear(self, asked: Asked) -> None:
        """Somebody speaks, or the time runs out; then both must have an end of it, or neither."""
        work = asked.work
        path, iteration = self._place(work)
        key: WorkKey = ("approval", work.subject, iteration)
        if not asked.may_speak:
            assert self.core.complete(key, core.Outcome("success"), 0.0)
        elif not asked.speak(self.rng, lambda word: self.core.decide(path, iteration, word)):
            assert key in self.core.works, f"{path} was decided too early"
            return
        assert key not in self.core.works, f"{path} was not decided"
        del self.asked[key]
        self._assign_at_once(work, asked.ended, asked.upstream)
        other = self.reference.complete(*self._reference_key((path, iteration)))
        assert shape(asked.ended) == shape(other), f"{path} ended as {asked.ended}, {other} in the reference"
        self._count(work, 1)

    def _unask(self, key: WorkKey) -> None:
        """It was cancelled; the reference waits to be told so."""
        asked = self.asked.pop(key)
        ended = Outcome("cancelled", error=Failure(CANCELLED, "cancelled").error)
        self.reference.complete(*self._reference_key(self._place(asked.work)), outcome=ended)
        self._count(asked.work, 1)

    def _tried(self, work: Work) -> int:
        return self.tried.get(self._key(work), 0)

    def _count(self, work: Work, attempts: int) -> None:
        self.tried[self._key(work)] = self._tried(work) + attempts

    # ---- what the core asks for ---------------------------------------------------------------------------------

    def _take(self) -> None:
        """Sort new work by what it is, start what may start, drop what is cancelled."""
        self._sort()
        self._note_cancels()
        self._start_io()
        for settled in self.core.take_settled():
            state = settled.state
            code = state.error["code"] if state.error else None
            key = (settled.node.path, settled.iteration, state.generation)
            self.rows[key] = State(state.status, read(state.output), code, state.attempts)

    def _sort(self) -> None:
        ready = self.core.take_ready()
        held_back = [work for work in ready if self.paused and work.kind not in ("timer", "approval")]
        self.core.give_back(held_back)
        self.kept = [work for work in held_back if work.kind == "node" and self.plan.nodes[work.subject].kind == "io"]
        for work in ready:
            if work in held_back:
                continue
            if work.kind == "timer":
                self._take_timer(work)
            elif work.kind in ("pass", "outputs"):
                self.rowless.append((work, self._names(work)))
            elif work.kind == "approval":
                self.core.mark_started(work, 0.0)
            elif self.plan.nodes[work.subject].kind in ("delay", "approval"):
                self._activate(work)  # one node here: its opening stands for the whole of it
            elif work.kind in ("open", "assign"):
                self.rowless.append((work, self._names(work)))
            elif self.plan.nodes[work.subject].kind == "io":
                self.held.append(work)
            else:
                self._activate(work)
        self.rowless = [item for item in self.rowless if self.core.works.get(item[0].key) is item[0]]
        self.timers = [work for work in self.timers if self.core.works.get(work.key) is work]
        self.timeouts = [work for work in self.timeouts if self.core.works.get(work.key) is work]

    def _take_timer(self, work: Work) -> None:
        if work.purpose in ("retry", "execution"):
            self.core.mark_started(work, 0.0)
            self.timers.append(work)
        elif work.purpose == "delay":
            self.core.mark_started(work, 0.0)
        elif work.purpose == "timeout":
            self.timeouts.append(work)

    def _activate(self, work: Work) -> None:
        self.core.mark_started(work, 0.0)
        frame = self.core.frame_of(work)
        upstream = self.core.upstream_of(frame, self.plan.nodes[work.subject])
        self.active[work.key] = (work, self._names(work), upstream)

    def _note_cancels(self) -> None:
        for key in self.core.take_cancels():
            if key[0] in ("node", "open"):
                self.cancelling.add(key)
            elif key in self.asked:
                self._unask(key)
            elif key in self.delayed:
                self._undelay(key)
        self.cancelling &= set(self.active)

    def _start_io(self) -> None:
        self.held = [work for work in self.held if self.core.works.get(work.key) is work]
        while self.held and not self.paused and self._io_running() < self.plan.max_parallel_nodes:
            work = self.held.pop(0)
            self.reference.start(*self._reference_key(self._place(work), waiting=True))
            self._activate(work)

    def _io_running(self) -> int:
        return sum(self.plan.nodes[work.subject].kind == "io" for work, _, _ in self.active.values())

    def _reference_key(self, place: Place, *, waiting: bool = False) -> Key:
        keys = self.reference.waiting() if waiting else self.reference.running()
        found = [key for key in keys if key[:2] == place]
        assert found, f"{place} runs in the core; in the reference there are {keys}"
        return found[0]

    # ---- comparison ---------------------------------------------------------------------------------------------

    def _compare(self) -> None:
        works = [work for work, _, _ in self.active.values()]
        works += [waiting.work for waiting in (*self.asked.values(), *self.delayed.values())]
        running = sorted(self._place(work) for work in works)
        assert running == sorted(key[:2] for key in self.reference.running()), "other nodes run"
        waiting = sorted(self._place(work) for work in (*self.held, *self.kept))
        assert waiting == sorted(key[:2] for key in self.reference.waiting()), "other nodes wait for a slot"
        told = sorted(self._place(self.active[key][0]) for key in self.cancelling)
        stopping = [key[:2] for key in self.reference.running() if self.reference.is_stopping(*key)]
        assert told == sorted(stopping), "other nodes are cancelled"
        due = len(self.rowless) + len(self.timers)
        assert due == len(self.reference.due()), f"the core has {self.rowless}, the reference {self.reference.due()}"

    def compare_ends(self) -> None:
        """Statuses, outputs, variables and every node execution."""
        reference = self.reference
        assert reference.status == self.core.status
        assert reference.variables == {name: read(v) for name, v in self._main_variables().items()}
        if reference.status == "success":
            assert evaluate.normalise(reference.output) == evaluate.normalise(read(self.core.output))
        else:
            assert reference.error is not None
            assert self.core.failure is not None
            assert reference.error["code"] == self.core.failure["code"]
        assert canonical(self.rows, self.plan) == canonical(reference.states(), self.plan)

    def _main_variables(self) -> dict[str, Value]:
        return self.core.frames[(0, ())].variables
