"""Drives `engine.dag.execution` and the reference side by side, in one random order of events.

After each event both must have the same nodes running, the same I/O nodes waiting for a slot and the same work due;
each outcome is worked out twice, from the core's scope and from the reference's, and must be the same.
"""

from __future__ import annotations

import json
import random
from dataclasses import replace
from typing import Any, cast

from engine.dag import outcome as core
from engine.dag.compile import compile_plan
from engine.dag.execution import Execution
from engine.dag.frame import leaf_outputs
from engine.dag.plan import Plan, PlanNode
from engine.dag.scope import scope_of
from engine.dag.snapshot import restore_execution, take_execution
from engine.dag.spec import NodeSpec, WorkflowSpec
from engine.dag.values import Value, inline, read
from engine.dag.work import Iteration, Work, WorkKey
from engine.errors import CANCELLED
from engine.expressions.references import AstReferenceParser
from engine.nodes.registry import built_in_catalogue
from tests.reference import evaluate
from tests.reference.evaluate import Failure, Outcome
from tests.reference.frames import Key, State, body_of, branches_of, error_policy, plain_params
from tests.reference.interpreter import Due, Reference
from tests.reference.people import Asked

Place = tuple[str, Iteration]


class Pair:
    """One execution in both. `step` makes one thing happen; `done` once it has ended."""

    def __init__(self, spec: WorkflowSpec, data: Any, trigger: str | None, rng: random.Random) -> None:
        self.rng = rng
        self.spec = spec
        self.plan = compile_plan(spec, built_in_catalogue(), AstReferenceParser())
        self.specs = _specs_by_path(spec)
        self.graphs = {node.id: graph for graph, nodes in _graphs(spec) for node in nodes}
        self.reference = Reference(spec, data, trigger, manual=True)
        for node in self.plan.nodes:
            node.local = node.local and not node.bodies  # every container is opened here, none goes out whole
        self.core = Execution(self.plan)
        self.snapshots = 0
        self.data = data
        self.tried: dict[Key, int] = {}  # attempts made with each idempotency key, as an effect server counts them
        self.held: list[Work] = []  # I/O works without a slot
        self.active: dict[WorkKey, tuple[Work, dict[str, Any], Any]] = {}
        self.asked: dict[WorkKey, Asked] = {}  # approvals that wait, by the key of their work
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
        elif self.rowless or self.active or self.timers or self.asked:
            self._do_any()
        else:
            raise AssertionError(f"the core is stuck; running in the reference: {self.reference.running()}")
        self._take()
        self._compare()

    def continue_as_new(self) -> bool:
        """Go on from a snapshot, as another run of the Temporal workflow does; False while a node runs."""
        if self.active or self.done:
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
        self._take()
        self._compare()

    def _do_any(self) -> None:
        choices: list[Any] = [*self.rowless, *self.active.values(), *self.timers, *self.asked.values()]
        chosen = self.rng.choice(choices)
        if self.timeouts and self.rng.random() < 0.05:
            self._time_out(self.timeouts.pop(0))
        elif isinstance(chosen, Asked):
            self._hear(chosen)
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
        delay = kind == "delay"
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
        other = self.reference.complete(*key)
        assert _shape(ended) == _shape(other), f"{place} ended as {ended} in the core's scope, {other} in the reference"
        self._count(work, ended.attempts)
        outcome = self._core_outcome(work, ended, upstream)
        if delay and ended.kind == "success":
            self._end_delay(work, outcome)
        else:
            self._complete(work, outcome)

    def _end_delay(self, work: Work, outcome: core.Outcome) -> None:
        """Open it, let its timer fire, and give it what its `assign` gives, all at once."""
        self._complete(work, core.Outcome("success", opened={"until": 0.0}))
        timer = ("timer:delay", work.subject, work.iteration)
        assert self.core.complete(timer, core.Outcome("success"), 0.0)
        assign = ("assign", work.subject, work.iteration)
        if assign in self.core.works:
            self.core.complete(assign, core.Outcome("success", assigned=outcome.assigned), 0.0)

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
        assign = ("assign", work.subject, iteration)
        if assign in self.core.works:
            outcome = self._core_outcome(work, asked.ended, asked.upstream)
            self.core.complete(assign, core.Outcome("success", assigned=outcome.assigned), 0.0)
        other = self.reference.complete(*self._reference_key((path, iteration)))
        assert _shape(asked.ended) == _shape(other), f"{path} ended as {asked.ended}, {other} in the reference"
        self._count(work, 1)

    def _unask(self, key: WorkKey) -> None:
        """It was cancelled; the reference waits to be told so."""
        asked = self.asked.pop(key)
        ended = Outcome("cancelled", error=Failure(CANCELLED, "cancelled").error)
        self.reference.complete(*self._reference_key(self._place(asked.work)), outcome=ended)
        self._count(asked.work, 1)

    def _core_outcome(self, work: Work, ended: Outcome, upstream: Value) -> core.Outcome:
        node = self.plan.nodes[work.subject]
        return core.Outcome(
            ended.kind,
            output=inline(ended.output),
            port=ended.port if ended.kind == "success" else None,
            data=upstream if node.type in ("condition", "switch") else None,
            error=ended.error,
            attempts=ended.attempts,
            assigned={name: inline(value) for name, value in ended.assigned.items()},
        )

    def _tried(self, work: Work) -> int:
        return self.tried.get(self._key(work), 0)

    def _count(self, work: Work, attempts: int) -> None:
        self.tried[self._key(work)] = self._tried(work) + attempts

    # ---- work without a row ---------------------------------------------------------------------------------------

    def _do_rowless(self, item: tuple[Work, dict[str, Any]]) -> None:
        work, names = item
        if self.core.works.get(work.key) is not work:
            return
        if work.kind in ("pass", "outputs"):
            self._close(work, names)
        elif work.kind == "assign":
            self._perform(Due("assign", self._key(work)))
            self._complete(work, self._evaluate(lambda: self._assigned(work, names)))
        else:
            self._perform(Due("open", self._key(work)))
            self._complete(work, self._evaluate(lambda: self._opened(work, names)))

    def _evaluate(self, call: Any) -> core.Outcome:
        try:
            return call()
        except Failure as failure:
            return core.failed(cast("dict[str, Any]", failure.error))

    def _assigned(self, work: Work, names: dict[str, Any]) -> core.Outcome:
        node = self._spec(work)
        state = self.core.frame_of(work).nodes[work.subject]
        values = evaluate.assignments(node, evaluate.with_inputs(node, names), read(state.output))
        return core.Outcome("success", assigned={name: inline(value) for name, value in values.items()})

    def _opened(self, work: Work, names: dict[str, Any]) -> core.Outcome:
        node = self._spec(work)
        scope = evaluate.with_inputs(node, names)
        if not evaluate.holds(node, scope):
            return core.Outcome("skipped", reason="when", attempts=0)
        params = evaluate.render(plain_params(node), scope)
        if node.type == "parallel":
            return core.Outcome(
                "success", opened={"wait": params.get("wait", "all"), "timeout_s": 3600 * ("timeout" in params)}
            )
        opened: dict[str, Any] = {
            "count": params.get("count"),
            "items": None,
            "concurrency": params.get("concurrency", 1),
            "max_iterations": params.get("max_iterations", 1000),
            "on_item_error": params.get("on_item_error", "fail"),
            "breaks": "break_condition" in node.params,
        }
        if params["loop_type"] == "foreach":
            upstream = self.core.upstream_of(self.core.frame_of(work), self.plan.nodes[work.subject])
            items = evaluate.loop_items(node, params, read(upstream))
            opened |= {"items": inline(items), "count": len(items)}
        elif params["loop_type"] == "while":
            opened["proceed"] = bool(evaluate.condition(node.params["condition"], {**scope, "index": 0, "last": None}))
        return core.Outcome("success", opened=opened)

    def _close(self, work: Work, names: dict[str, Any]) -> None:
        frame = self.core.frame_of(work)
        graph = self.plan.graphs[work.subject]
        if graph.owner is None:
            self._perform(Due("close"))
            self._complete(work, self._evaluate(lambda: self._ended(self.spec.outputs, frame, names)))
            return
        owner = self.plan.nodes[graph.owner]
        node = self.specs[owner.path]
        place = (owner.path, work.iteration[:-1] if owner.kind == "loop" else work.iteration, 0)
        self._perform(Due("close", place, work.iteration[-1] if owner.kind == "loop" else graph.id))
        if owner.kind == "parallel":
            outputs = dict(branches_of(node))[graph.id].outputs
            self._complete(work, self._evaluate(lambda: self._ended(outputs, frame, names)))
        else:
            self._complete(work, self._evaluate(lambda: self._pass_ended(node, frame, names)))

    def _ended(self, outputs: Any, frame: Any, names: dict[str, Any]) -> core.Outcome:
        if outputs is not None:
            return core.Outcome("success", output=inline(evaluate.render(outputs, names)))
        return core.Outcome("success", output=core_leaves(self.plan, frame))

    def _pass_ended(self, node: NodeSpec, frame: Any, names: dict[str, Any]) -> core.Outcome:
        if frame.failure is None:
            ended = self._ended(body_of(node).outputs, frame, names)
        else:
            ended = core.Outcome("success", output=inline({"error": frame.failure}))
        try:
            ended.opened = self._between(node, names, read(ended.output))
        except Failure as failure:
            ended = core.failed(cast("dict[str, Any]", failure.error))
            ended.opened = {"between": True}
        return ended

    def _between(self, node: NodeSpec, names: dict[str, Any], last: Any) -> dict[str, Any]:
        scope = {**names, "last": last}
        broke = bool(evaluate.condition(node.params.get("break_condition", False), scope))
        decided = {"broke": broke}
        if not broke and node.params["loop_type"] == "while":
            following = {**scope, "index": names["index"] + 1}
            decided["proceed"] = bool(evaluate.condition(node.params["condition"], following))
        return decided

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
        for work in self.core.take_ready():
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
        self.cancelling &= set(self.active)

    def _start_io(self) -> None:
        self.held = [work for work in self.held if self.core.works.get(work.key) is work]
        while self.held and self._io_running() < self.plan.max_parallel_nodes:
            work = self.held.pop(0)
            self.reference.start(*self._reference_key(self._place(work), waiting=True))
            self._activate(work)

    def _io_running(self) -> int:
        return sum(self.plan.nodes[work.subject].kind == "io" for work, _, _ in self.active.values())

    # ---- names --------------------------------------------------------------------------------------------------

    def _names(self, work: Work) -> dict[str, Any]:
        """Plain data of the core's scope, under the names of expressions."""
        scope = scope_of(self.core, work)
        names: dict[str, Any] = {"input": self.data, "execution": {}, "vars": {}, "nodes": {}}
        if "i" in scope:
            assert read(scope["i"]) == self.data
        names["vars"] = {name: read(value) for name, value in scope.get("v", {}).items()}
        for index, view in scope.get("n", {}).items():
            names["nodes"][self.plan.nodes[int(index)].id] = _view(view)
        for short, name in (("t", "item"), ("l", "last"), ("e", "error")):
            if short in scope:
                names[name] = read(scope[short])
        if "x" in scope:
            names["index"] = scope["x"]
        return names

    def _spec(self, work: Work) -> NodeSpec:
        return self.specs[self.plan.nodes[work.subject].path]

    def _place(self, work: Work) -> Place:
        return (self.plan.nodes[work.subject].path, work.iteration)

    def _key(self, work: Work) -> Key:
        return (*self._place(work), work.generation)

    def _reference_key(self, place: Place, *, waiting: bool = False) -> Key:
        keys = self.reference.waiting() if waiting else self.reference.running()
        found = [key for key in keys if key[:2] == place]
        assert found, f"{place} runs in the core; in the reference there are {keys}"
        return found[0]

    # ---- comparison ---------------------------------------------------------------------------------------------

    def _compare(self) -> None:
        works = [work for work, _, _ in self.active.values()] + [asked.work for asked in self.asked.values()]
        running = sorted(self._place(work) for work in works)
        assert running == sorted(key[:2] for key in self.reference.running()), "other nodes run"
        waiting = sorted(self._place(work) for work in self.held)
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


def _view(view: list[Any]) -> dict[str, Any]:
    status, output, port, data, error = view + [0] * (5 - len(view))
    ports = {port: read(data or output)} if port else {}
    return {"output": read(output), "status": status, "error": error or None, "ports": ports}


def core_leaves(plan: Plan, frame: Any) -> Value:
    return leaf_outputs(frame, plan.leaves(frame.graph))


def _shape(ended: Outcome) -> Any:
    code = ended.error["code"] if ended.error else None
    parts = evaluate.normalise([ended.output, ended.port_data, ended.assigned])
    return (ended.kind, ended.port, code, ended.attempts, parts)


def canonical(rows: dict[Key, State], plan: Plan) -> dict[Any, Any]:
    """Rows with generations counted for each container run apart, as their numbers depend on the order of starts."""
    names = _generation_names(rows, plan)
    return {
        (path, iteration, names[generation]): replace(state, output=evaluate.normalise(state.output))
        for (path, iteration, generation), state in rows.items()
    }


def _generation_names(rows: dict[Key, State], plan: Plan) -> dict[int, Any]:
    holders: dict[int, Any] = {0: ("", ())}
    for generation in sorted({key[2] for key in rows} - {0}):
        outermost = min((key for key in rows if key[2] == generation), key=lambda key: (key[0].count("."), key))
        holders[generation] = _holder(plan.by_path[outermost[0]], outermost[1], plan)
    names: dict[int, Any] = {}
    for generation, holder in holders.items():
        earlier = sum(holders[other] == holder for other in holders if other < generation)
        names[generation] = (holder, earlier)
    return names


def _holder(node: PlanNode, iteration: Iteration, plan: Plan) -> Any:
    """The container run that a generation belongs to, found from its outermost row."""
    if node.bodies:
        return (node.path, iteration)
    owner = plan.graphs[node.graph].owner
    if owner is None:
        return ("", ())
    container = plan.nodes[owner]
    return (container.path, iteration[:-1] if container.kind == "loop" else iteration)


def _graphs(spec: WorkflowSpec) -> list[tuple[Any, list[NodeSpec]]]:
    found: list[tuple[Any, list[NodeSpec]]] = []
    pending: list[Any] = [spec.graph, spec.handlers]
    while pending:
        graph = pending.pop()
        found.append((graph, graph.nodes))
        for node in graph.nodes:
            if node.type == "loop":
                pending.append(body_of(node))
            elif node.type == "parallel":
                pending += [branch for _, branch in branches_of(node)]
    return found


def _specs_by_path(spec: WorkflowSpec) -> dict[str, NodeSpec]:
    found: dict[str, NodeSpec] = {}

    def add(nodes: list[NodeSpec], prefix: str) -> None:
        for node in nodes:
            found[prefix + node.id] = node
            if node.type == "loop":
                add(body_of(node).nodes, f"{prefix}{node.id}.body.")
            elif node.type == "parallel":
                for name, branch in branches_of(node):
                    add(branch.nodes, f"{prefix}{node.id}.{name}.")

    add(spec.nodes, "")
    add(spec.handlers.nodes, "")
    return found
