"""The meaning of a document, executed in the slowest obvious way: the second opinion on `engine.dag.state`.

It keeps plain objects and, after each observed event, looks at every edge of every open graph again until nothing
changes. It has no queue, no counters and no caches, and shares no code with the core but the document's shapes.

    reference = Reference(spec, {"n": 1})
    while reference.running():
        reference.complete(*key)              # in the order observed; the outcome is worked out here, or given
    reference.status, reference.states(), reference.output, reference.variables

Work that has no row of its own (opening a container, evaluating the end of a pass, a container's `assign`, trying it
again, the next execution attempt) is done the moment it is due, and I/O nodes start by themselves; with `manual=True`
that happens when `perform` and `start` are called: `due()` and `waiting()` list what could be done.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from engine.dag.spec import ExecutionRetry, WorkflowSpec
from engine.errors import CANCELLED, RESOURCE_EXHAUSTED, TIMEOUT
from tests.reference import evaluate
from tests.reference.evaluate import Error, Failure, Outcome
from tests.reference.frames import (
    Frame,
    Key,
    Run,
    State,
    body_of,
    branches_of,
    error_policy,
    gives_output,
    plain_params,
    walk,
)

DueKind = Literal["open", "again", "close", "assign", "attempt"]


@dataclass(frozen=True, slots=True)
class Due:
    """Work without a row: `key` is the container's; for `close` of a pass or branch, `part` is its index or id."""

    kind: DueKind
    key: Key | None = None
    part: int | str | None = None


class Reference:
    """One execution. `status` is running, success, failed, cancelled or timed_out."""

    def __init__(
        self, spec: WorkflowSpec, data: Any, trigger: str | None = None, *, manual: bool = False, execution: Any = None
    ) -> None:
        self.spec = spec
        self.input = data
        self.trigger = trigger
        self.execution = execution or {}
        self.manual = manual
        self.status = "running"
        self.output: Any = None
        self.error: Error | None = None
        self.attempt = 1
        self.generation = 0
        self.reopened = False  # the main graph goes on from its failures
        self.clock = 0
        self.ending: str | None = None  # cancelled or timed_out
        self.archive: list[Run] = []  # of frames that a later generation has replaced
        self.handlers: Frame | None = None
        self.main = self._main_frame(0)
        self._settle()

    # ---- what a test asks -------------------------------------------------------------------------------------

    @property
    def variables(self) -> dict[str, Any]:
        return self.main.variables

    def running(self) -> list[Key]:
        """Plain nodes that run now."""
        return [run.key for run in self._runs() if run.status == "running" and not run.container]

    def waiting(self) -> list[Key]:
        """I/O nodes that are ready and have not started, the longest waiting first."""
        ready = [run for run in self._runs() if run.status == "pending" and run.ready_at and not run.frame.stopping]
        return [run.key for run in sorted(ready, key=lambda run: run.ready_at or 0)]

    def start(self, path: str, iteration: tuple[int, ...] = (), generation: int = 0) -> None:
        """An I/O node was started.

        Raises: AssertionError if it is not ready, or all slots are taken.
        """
        run = self._find((path, iteration, generation))
        assert run.key in self.waiting(), f"{path} cannot start: it is {run.status}"
        assert self._has_slot(), f"{path} cannot start: max_parallel_nodes are running"
        self._start(run)
        self._settle()

    def due(self) -> list[Due]:
        """Work without a row that can be done now, in the order in which it would be done by itself."""
        found: list[Due] = []
        for frame in self._frames():
            for run in frame.runs.values():
                if run.status == "running" and run.container and not run.opened:
                    found.append(Due("open", run.key))
                if run.status == "retrying":
                    found.append(Due("again", run.key))
                if run.gained is not None and not run.settled:
                    found.append(Due("assign", run.key))
            if frame.state == "closing":
                part = frame.iteration[-1] if frame.kind == "pass" else frame.id
                found.append(Due("close", frame.owner.key if frame.owner else None, part if frame.owner else None))
        if self.status == "retrying":
            found.append(Due("attempt"))
        return found

    def states(self) -> dict[Key, State]:
        """Every node of every graph that was opened, older generations included."""
        runs = [*self.archive, *self._runs()]
        return {run.key: _state(run) for run in runs}

    def upstream_of(self, path: str, iteration: tuple[int, ...], generation: int) -> Any:
        return self._find((path, iteration, generation)).upstream

    # ---- what was observed ------------------------------------------------------------------------------------

    def complete(
        self, path: str, iteration: tuple[int, ...] = (), generation: int = 0, outcome: Outcome | None = None
    ) -> Outcome:
        """A plain node ended. Without `outcome`, what the node does is worked out here; it is returned.

        Raises: AssertionError if the node cannot be running now.
        """
        run = self._find((path, iteration, generation))
        assert not run.container, f"{path} is a container: its end follows from its body"
        assert run.status == "running", f"{path} cannot end: it is {run.status}"
        ended = outcome or self.outcome_of(path, iteration, generation)
        run.attempts = ended.attempts + (0 if run.node.type == "delay" else run.attempts)  # a delay tries nothing
        self._take(run, ended)
        self._settle()
        return ended

    def outcome_of(self, path: str, iteration: tuple[int, ...] = (), generation: int = 0) -> Outcome:
        """How a running plain node ends if nothing interrupts it."""
        run = self._find((path, iteration, generation))
        retry, _ = error_policy(run.node, run.frame, self.spec.settings)
        return evaluate.evaluate_node(run.node, run.scope, run.upstream, retry=retry, tried=run.attempts)

    def perform(self, due: Due) -> None:
        """Do one piece of work without a row.

        Raises: AssertionError if it is not due.
        """
        assert due in self.due(), f"{due} is not due: {self.due()}"
        self._perform(due)
        self._settle()

    def time_out(self, path: str, iteration: tuple[int, ...] = (), generation: int = 0) -> None:
        """The timeout of a `parallel` has passed."""
        run = self._find((path, iteration, generation))
        assert run.status == "running", f"{path} is {run.status}"
        self._fail_container(run, Failure(TIMEOUT, f"{path} took too long").error)
        self._settle()

    def cancel(self) -> None:
        """Somebody cancels the execution."""
        self._end("cancelled")

    def expire(self) -> None:
        """The execution's own timeout has passed."""
        self._end("timed_out")

    def _end(self, ending: str) -> None:
        assert self.status in ("running", "retrying")
        if self.status == "retrying":
            self.status = "running"
        self.ending = self.ending or ending
        self.error = Failure(CANCELLED if ending == "cancelled" else TIMEOUT, ending).error
        self._cancel_frame(self.main)
        if self.handlers and ending == "cancelled":
            self._cancel_frame(self.handlers)
        self._settle()

    # ---- one step after the other, until nothing changes --------------------------------------------------------

    def _settle(self) -> None:
        while self._step():
            pass

    def _step(self) -> bool:
        if self.status not in ("running", "retrying"):
            return False
        for frame in self._frames():
            if frame.state == "open" and (self._step_nodes(frame) or self._step_end(frame)):
                return True
        for run in self._runs():
            if run.opened and run.status == "running" and run.gained is None and self._step_container(run):
                return True
        if self._start_waiting():
            return True
        if self.status == "running" and self._step_execution():
            return True
        if self.manual or not self.due():
            return False
        self._perform(self.due()[0])
        return True

    def _frames(self) -> list[Frame]:
        return list(walk([self.main] + ([self.handlers] if self.handlers else [])))

    def _runs(self) -> list[Run]:
        return [run for frame in self._frames() for run in frame.runs.values()]

    def _find(self, key: Key) -> Run:
        found = [run for run in self._runs() if run.key == key]
        assert found, f"{key} is in no open graph"
        return found[0]

    def _tick(self) -> int:
        self.clock += 1
        return self.clock

    # ---- nodes ------------------------------------------------------------------------------------------------

    def _step_nodes(self, frame: Frame) -> bool:
        """Prune, or mark ready, the first node of a frame for which that is possible."""
        if frame.stopping:
            return False
        for run in frame.runs.values():
            if run.status != "pending" or run.ready_at is not None:
                continue
            if frame.is_unreachable(run.node) or (run.node.type == "manual" and run.node.id != self._trigger()):
                self._close_run(run, "pruned")
                return True
            if frame.is_ready(run.node):
                run.ready_at = self._tick()
                run.upstream = frame.upstream(run.node)
                if run.node.type != "http":
                    self._start(run)
                return True
        return False

    def _start_waiting(self) -> bool:
        """I/O nodes wait for one of `max_parallel_nodes` slots, the longest waiting first."""
        if self.manual or not self.waiting() or not self._has_slot():
            return False
        self._start(self._find(self.waiting()[0]))
        return True

    def _has_slot(self) -> bool:
        running = [run for run in self._runs() if run.node.type == "http" and run.status == "running"]
        return len(running) < self.spec.settings.max_parallel_nodes

    def _start(self, run: Run) -> None:
        run.status = "running"
        run.scope = self._scope(run.frame)
        if run.container and run.frame is self.main and self.reopened:
            run.generation = self._next_generation()
        if run.node.type == "manual":
            run.attempts = 1
            output = self.input
            self._take(run, Outcome("success", output, "out", output))

    def _trigger(self) -> str:
        triggers = [node.id for node in self.spec.nodes if node.type == "manual"]
        return self.trigger or (triggers[0] if triggers else "")

    def _close_run(self, run: Run, status: str) -> None:
        run.status = status
        run.settled_at = self._tick()
        if status == "cancelled" and run.container and run.attempts:
            run.error = Failure(CANCELLED, "cancelled").error

    def _take(self, run: Run, ended: Outcome) -> None:
        """Record how a node ended, and what that means for its frame."""
        if ended.kind == "success":
            run.output, run.port, run.port_data = ended.output, ended.port, ended.port_data
            self._close_run(run, "success")
            self._assign(run.frame, ended.assigned)
        elif ended.kind == "skipped":
            run.reason = "when"
            self._close_run(run, "skipped")
        elif ended.kind == "cancelled":
            assert run.frame.stopping, f"{run.key} was cancelled, and nothing is failing"
            run.error = ended.error
            self._close_run(run, "cancelled")
        else:
            assert ended.error is not None
            self._take_failure(run, ended.error)

    def _take_failure(self, run: Run, error: Error) -> None:
        if run.frame.stopping:  # its policy can change nothing any more
            run.error = error
            self._close_run(run, "failed")
            return
        _, final = error_policy(run.node, run.frame, self.spec.settings)
        run.error = error
        if final == "skip":
            run.output, run.reason = run.upstream, "error"
            self._close_run(run, "skipped")
        elif final == "continue":
            run.output = {"error": error}
            self._close_run(run, "failed")
        else:
            self._close_run(run, "failed")
            self._fail_frame(run.frame, error)

    def _assign(self, frame: Frame, assigned: dict[str, Any]) -> None:
        """Set variables in the graph itself; a pass or a branch hands them on when it succeeds."""
        (self.main if frame.kind == "handlers" else frame).variables.update(assigned)

    # ---- names ------------------------------------------------------------------------------------------------

    def _scope(self, frame: Frame) -> dict[str, Any]:
        """All names that a node of the frame could use now."""
        chain = self._chain(frame)
        scope: dict[str, Any] = {"input": self.input, "execution": self.execution}
        scope["vars"] = dict(self.main.variables)
        scope["nodes"] = {}
        for part in chain:
            if part.kind == "pass" and part.owner:
                scope["vars"].update(part.owner.overlay)
            scope["vars"].update(part.variables)
            scope.update(part.names)
            scope["nodes"].update({run.node.id: _seen(run, part) for run in part.runs.values()})
        return scope

    def _chain(self, frame: Frame) -> list[Frame]:
        """The frame and those around it, outermost first; main is round the handlers too."""
        above = frame.owner.frame if frame.owner else None
        if above is None:
            return [frame] if frame is self.main else [self.main, frame]
        return [*self._chain(above), frame]

    # ---- the end of a frame -------------------------------------------------------------------------------------

    def _fail_frame(self, frame: Frame, error: Error) -> None:
        """A node in it failed for good: nothing new starts in it, and what runs in it is cancelled."""
        if frame.kind == "handlers" or frame.stopping:
            return
        frame.failure = error
        if frame is self.main:
            self.error = error
        for run in frame.runs.values():
            self._cancel_container(run)

    def _after_failure(self, frame: Frame, error: Error) -> None:
        """A pass or a branch has failed and nothing in it runs any more."""
        owner = frame.owner
        if owner is None:
            return
        if frame.kind == "pass" or self._branches_within_reach(owner) < self._needed(owner):
            self._fail_container(owner, error)

    def _cancel_frame(self, frame: Frame) -> None:
        if frame.over:
            return
        frame.cancelled = True
        for run in frame.runs.values():
            self._cancel_container(run)
        if frame.state == "closing":
            frame.state = "cancelled"

    def _cancel_container(self, run: Run) -> None:
        if not run.container or run.settled or run.status == "pending":
            return
        run.cancelled = True
        for frame in run.frames:
            self._cancel_frame(frame)
        if run.status == "retrying" or not run.opened or run.gained is not None:
            run.generation = run.generation if run.attempts else run.frame.generation  # it never ran
            self._close_run(run, "cancelled")

    def _step_end(self, frame: Frame) -> bool:
        """Bring a frame to its end if all its nodes have ended, or if it is stopping and nothing runs any more."""
        if frame.stopping:
            if any(run.status in ("running", "retrying") for run in frame.runs.values()):
                return False
            for run in frame.runs.values():
                if run.status == "pending":
                    self._close_run(run, "cancelled")
            if frame.cancelled or frame.failure is None:
                frame.state = "cancelled"
            elif self._is_result(frame):
                frame.state, frame.result = "success", {"error": frame.failure}
            else:
                frame.state = "failed"
                self._after_failure(frame, frame.failure)
            return True
        if all(run.settled for run in frame.runs.values()):
            self._begin_closing(frame)
            return True
        return False

    def _is_result(self, frame: Frame) -> bool:
        """Whether the pass is an item whose failure is a result like any other."""
        owner = frame.owner
        return frame.kind == "pass" and owner is not None and owner.node.params.get("on_item_error") == "continue"

    def _begin_closing(self, frame: Frame) -> None:
        frame.state = "closing"
        frame.scope = self._scope(frame)
        owner = frame.owner
        between = owner is not None and ("break_condition" in owner.node.params or "condition" in owner.node.params)
        if frame.outputs is None and not between:
            self._close_frame(frame)  # there is nothing to evaluate

    def _close_frame(self, frame: Frame) -> None:
        try:
            if frame.outputs is None:
                frame.result = frame.leaf_outputs()
            else:
                frame.result = evaluate.render(frame.outputs, frame.scope)
        except Failure as failure:
            frame.state = "open"  # it fails as by one of its nodes, and then ends
            self._fail_frame(frame, failure.error)
            return
        frame.state = "success"
        if frame.kind == "pass" and frame.owner:
            frame.owner.overlay.update(frame.variables)
            self._after_pass(frame)

    # ---- containers -------------------------------------------------------------------------------------------

    def _perform(self, due: Due) -> None:
        if due.kind == "attempt":
            self._next_attempt()
        elif due.kind == "close":
            self._close_frame(self._closing(due))
        elif due.kind == "assign":
            assert due.key is not None
            self._assign_container(self._find(due.key))
        else:
            assert due.key is not None
            run = self._find(due.key)
            if due.kind == "again":
                run.forget_passes()
                run.generation = self._next_generation()
                self._start(run)
            else:
                self._open(run)

    def _closing(self, due: Due) -> Frame:
        for frame in self._frames():
            key = frame.owner.key if frame.owner else None
            part = frame.iteration[-1] if frame.kind == "pass" else frame.id
            if frame.state == "closing" and key == due.key and (key is None or part == due.part):
                return frame
        raise AssertionError(f"{due}: no such frame")

    def _open(self, run: Run) -> None:
        run.opened = True
        run.attempts += 1
        run.tried += 1
        try:
            scope = evaluate.with_inputs(run.node, run.scope)
            if not evaluate.holds(run.node, scope):
                run.attempts -= 1
                self._take(run, Outcome("skipped", attempts=0))
                return
            self._open_loop(run, scope) if run.node.type == "loop" else self._open_branches(run)
        except Failure as failure:
            run.failure = failure.error
            self._end_container(run, failure.error)

    def _open_branches(self, run: Run) -> None:
        for name, graph in branches_of(run.node):
            frame = Frame(
                "branch",
                graph.nodes,
                graph.edges,
                graph.outputs,
                prefix=f"{run.frame.prefix}{run.node.id}.{name}.",
                iteration=run.frame.iteration,
                generation=run.generation,
                owner=run,
                id=name,
                entry=run.upstream,
            )
            run.frames.append(frame)

    def _open_loop(self, run: Run, scope: dict[str, Any]) -> None:
        params = evaluate.render(plain_params(run.node), scope)
        kind = params["loop_type"]
        if kind == "foreach":
            run.items = evaluate.loop_items(run.node, params, run.upstream)
            run.count = len(run.items)
        elif kind == "for":
            run.count = params["count"]
        else:
            run.more = self._goes_on(run, {**scope, "index": 0, "last": None})
        most = params.get("max_iterations", 1000)
        if run.count is not None and run.count > most and "break_condition" not in run.node.params:
            raise self._too_many(run)

    def _goes_on(self, run: Run, scope: dict[str, Any]) -> bool:
        return bool(evaluate.condition(run.node.params["condition"], scope))

    def _too_many(self, run: Run) -> Failure:
        return Failure(RESOURCE_EXHAUSTED, f"{run.node.id}: more passes than max_iterations")

    def _step_container(self, run: Run) -> bool:
        if not all(frame.over for frame in run.frames) and (run.failure or run.cancelled):
            return False
        if run.failure is not None:
            self._end_container(run, run.failure)
            return True
        if run.cancelled:
            self._close_run(run, "cancelled")
            return True
        return self._step_loop(run) if run.node.type == "loop" else self._step_branches(run)

    def _step_loop(self, run: Run) -> bool:
        if self._may_open_pass(run):
            if len(run.frames) >= run.node.params.get("max_iterations", 1000):
                self._fail_container(run, self._too_many(run).error)
            else:
                self._open_pass(run)
            return True
        if run.broken_at is None and self._wants_pass(run):
            return False
        if not all(frame.over for frame in run.frames):
            return False
        last = len(run.frames) - 1 if run.broken_at is None else run.broken_at
        results = [frame.result for frame in run.frames[: last + 1]]
        output = {"items": results, "iterations": len(results), "broken": run.broken_at is not None}
        self._succeed_container(run, output, run.overlay)
        return True

    def _wants_pass(self, run: Run) -> bool:
        return run.more if run.count is None else len(run.frames) < run.count

    def _may_open_pass(self, run: Run) -> bool:
        active = sum(not frame.over for frame in run.frames)
        return run.broken_at is None and self._wants_pass(run) and active < run.node.params.get("concurrency", 1)

    def _open_pass(self, run: Run) -> None:
        graph = body_of(run.node)
        index = len(run.frames)
        item = index if run.items is None else run.items[index]
        names = {"index": index} if run.node.params["loop_type"] == "while" else {"index": index, "item": item}
        frame = Frame(
            "pass",
            graph.nodes,
            graph.edges,
            graph.outputs,
            prefix=f"{run.frame.prefix}{run.node.id}.body.",
            iteration=(*run.frame.iteration, index),
            generation=run.generation,
            owner=run,
            names=names,
            entry=run.upstream if run.items is None else item,
        )
        run.frames.append(frame)

    def _after_pass(self, frame: Frame) -> None:
        """`break_condition`, then the `condition` of the next pass, as the variables were when the pass ended."""
        run = frame.owner
        assert run is not None
        scope = {**frame.scope, **evaluate_inputs_of(run), "last": frame.result}
        index = frame.iteration[-1]
        try:
            if evaluate.condition(run.node.params.get("break_condition", False), scope):
                self._break(run, index)
            elif run.count is None:
                run.more = self._goes_on(run, {**scope, "index": index + 1})
        except Failure as failure:
            self._fail_container(run, failure.error)

    def _break(self, run: Run, index: int) -> None:
        """Passes behind the lowest breaking one are cancelled; those before it go on to their end."""
        run.broken_at = index if run.broken_at is None else min(run.broken_at, index)
        for frame in run.frames[run.broken_at + 1 :]:
            self._cancel_frame(frame)

    def _needed(self, run: Run) -> int:
        wait = run.node.params.get("wait", "all")
        return len(run.frames) if wait == "all" else 1 if wait == "any" else wait

    def _branches_within_reach(self, run: Run) -> int:
        return sum(frame.state != "failed" for frame in run.frames)

    def _step_branches(self, run: Run) -> bool:
        done = [frame for frame in run.frames if frame.state == "success"]
        if len(done) < self._needed(run):
            return False
        rest = [frame for frame in run.frames if not frame.over]
        for frame in rest:
            if not frame.cancelled:
                self._cancel_frame(frame)
                return True
        if rest:
            return False
        merged: dict[str, Any] = {}
        for frame in done:
            merged.update(frame.variables)
        self._succeed_container(run, {frame.id: frame.result for frame in done}, merged)
        return True

    def _succeed_container(self, run: Run, output: Any, variables: dict[str, Any]) -> None:
        run.port_data, run.gained = output, variables
        if not run.node.assign:
            self._take(run, Outcome("success", output, "out", output, variables))

    def _assign_container(self, run: Run) -> None:
        """Its own `assign`, over what its body set, on the variables as they were when it started."""
        output, gained = run.port_data, run.gained or {}
        try:
            own = evaluate.assignments(run.node, evaluate.with_inputs(run.node, run.scope), output)
        except Failure as failure:
            self._end_container(run, failure.error)
            return
        self._take(run, Outcome("success", output, "out", output, {**gained, **own}))

    def _fail_container(self, run: Run, error: Error) -> None:
        """It will fail once everything in it has ended."""
        if run.failure is None:
            run.failure = error
            for frame in run.frames:
                if frame.failure is None:
                    self._cancel_frame(frame)

    def _end_container(self, run: Run, error: Error) -> None:
        """A run of a container has failed: again, if its policy and its frame allow it, or for good."""
        retry, _ = error_policy(run.node, run.frame, self.spec.settings)
        if retry and run.tried < retry.max_attempts and not run.frame.stopping:
            self._archive(run)
            run.status = "retrying"
        elif run.cancelled:
            self._close_run(run, "cancelled")
        else:
            self._take_failure(run, error)

    def _archive(self, run: Run) -> None:
        self.archive.extend(inner for frame in walk(run.frames) for inner in frame.runs.values())
        run.frames = []

    def _next_generation(self) -> int:
        self.generation += 1
        return self.generation

    # ---- the execution ------------------------------------------------------------------------------------------

    def _main_frame(self, generation: int) -> Frame:
        frame = Frame("main", self.spec.nodes, self.spec.edges, self.spec.outputs, generation=generation)
        frame.entry = self.input
        frame.variables = {name: variable.default for name, variable in self.spec.variables.items()}
        return frame

    def _step_execution(self) -> bool:
        if self.handlers is not None:
            return self._finish(self.ending or "failed") if self.handlers.over else False
        if self.main.state == "success":
            self.output = self.main.result
            return self._finish("success")
        if not self.main.over:
            return False
        if self.ending == "cancelled":
            return self._finish("cancelled")
        retry = self.spec.settings.retry
        if retry and self.attempt < retry.max_attempts and not self.ending:
            self.status = "retrying"
            return True
        graph = self.spec.handlers
        names = {"error": self.error}
        self.handlers = Frame("handlers", graph.nodes, graph.edges, None, names=names)
        self.handlers.entry = self.input
        return True

    def _finish(self, status: str) -> bool:
        self.status = status
        if status == "success":
            self.error = None
        return True

    def _next_attempt(self) -> None:
        retry = self.spec.settings.retry
        assert isinstance(retry, ExecutionRetry)
        self.attempt += 1
        self.status = "running"
        self.error = None
        if retry.resume_from == "start":
            self.archive.extend(self._runs())
            self.main = self._main_frame(self._next_generation())
        else:
            self._reopen(self.main)

    def _reopen(self, frame: Frame) -> None:
        """Keep what has an outcome; all else starts afresh, containers in a new generation."""
        self.reopened = True
        frame.state, frame.failure, frame.cancelled = "open", None, False
        for node_id, run in frame.runs.items():
            if gives_output(run) or run.status in ("skipped", "pruned"):
                continue
            self._archive(run)
            if run.container:
                self.archive.append(run)
            frame.runs[node_id] = Run(run.node, frame, frame.generation, attempts=0 if run.container else run.attempts)


def evaluate_inputs_of(run: Run) -> dict[str, Any]:
    """The container's own `inputs`, which its conditions may use."""
    return {"inputs": evaluate.with_inputs(run.node, run.scope)["inputs"]}


def _seen(run: Run, frame: Frame) -> dict[str, Any]:
    """What `nodes.<id>` shows."""
    shown = run.output if gives_output(run) else None
    ports: dict[str, Any] = {}
    for port in frame.live_ports(run):
        ports[port] = run.port_data if run.status == "success" else run.output
    return {"output": shown, "status": run.status, "error": run.error, "ports": ports}


def _state(run: Run) -> State:
    shown = run.output if gives_output(run) else None
    return State(run.status, shown, run.error["code"] if run.error else None, run.attempts)


Observe = Callable[[Reference], Key]


def run_to_end(reference: Reference, choose: Observe) -> None:
    """Complete running nodes in the order that `choose` names, until the execution has ended."""
    while reference.status == "running":
        reference.complete(*choose(reference))
