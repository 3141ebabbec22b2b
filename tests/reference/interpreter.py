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

from dataclasses import dataclass
from typing import Any, Literal

from engine.dag.spec import ExecutionRetry, WorkflowSpec
from engine.errors import CANCELLED, TIMEOUT
from tests.reference import evaluate
from tests.reference.containers import Containers
from tests.reference.evaluate import Error, Failure, Outcome
from tests.reference.frames import Frame, Key, Run, State, error_policy, gives_output

DueKind = Literal["open", "again", "close", "assign", "attempt"]


@dataclass(frozen=True, slots=True)
class Due:
    """Work without a row: `key` is the container's; for `close` of a pass or branch, `part` is its index or id."""

    kind: DueKind
    key: Key | None = None
    part: int | str | None = None


class Reference(Containers):
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
        self.paused = False
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

    def containers(self) -> list[Key]:
        """Containers that run now."""
        return [run.key for run in self._runs() if run.status == "running" and run.container]

    def running_key(self, path: str, iteration: tuple[int, ...] = ()) -> Key:
        """The key of a node that runs now; another engine may number generations in another order of starts.

        Raises: AssertionError if it does not run.
        """
        found = [key for key in self.running() if key[:2] == (path, iteration)]
        assert found, f"{path} {iteration} does not run; these do: {self.running()}"
        return found[0]

    def waiting(self) -> list[Key]:
        """I/O nodes that are ready and have not started, the longest waiting first."""
        return [run.key for run in self._ready() if run.node.type == "http"]

    def _ready(self) -> list[Run]:
        """Nodes that are ready and have not started, the longest waiting first."""
        ready = [run for run in self._runs() if run.status == "pending" and run.ready_at and not run.frame.stopping]
        return sorted(ready, key=lambda run: run.ready_at or 0)

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
                if run.status == "retrying":
                    found.append(Due("again", run.key))
                elif run.late:
                    continue
                if run.status == "running" and run.container and not run.opened:
                    found.append(Due("open", run.key))
                if run.gained is not None and not run.settled:
                    found.append(Due("assign", run.key))
            if frame.state == "closing" and not frame.late:
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

    # ---- containers that another engine runs as one piece of work ------------------------------------------------

    def hold(self, path: str, iteration: tuple[int, ...] = ()) -> None:
        """A container was started as one piece: when its graph stops it goes on to its own end."""
        self._at(path, iteration).held = True

    def begin(self, path: str, iteration: tuple[int, ...] = ()) -> None:
        """The opening of a container was started."""
        self._at(path, iteration).begun = True

    def is_held(self, path: str, iteration: tuple[int, ...], generation: int) -> bool:
        """Whether the node stands in such a container."""
        owner = self._find((path, iteration, generation)).frame.owner
        while owner is not None and not owner.held:
            owner = owner.frame.owner
        return owner is not None

    def abandon(self, path: str, iteration: tuple[int, ...] = ()) -> None:
        """Such a container was cancelled after all, with everything in it."""
        run = self._at(path, iteration)
        assert run.frame.stopping, f"{path} was cancelled, and nothing is failing"
        run.held = False
        run.frames = []
        self._close_run(run, "cancelled")
        self._settle()

    def is_over(self, path: str, iteration: tuple[int, ...] = ()) -> bool:
        """Whether a container has settled, waits to be tried again, or is gone with what it stood in."""
        return not any(key[:2] == (path, iteration) for key in self.containers())

    def is_stopping(self, path: str, iteration: tuple[int, ...], generation: int) -> bool:
        return self._find((path, iteration, generation)).frame.stopping

    def _at(self, path: str, iteration: tuple[int, ...]) -> Run:
        found = [run for run in self._runs() if run.key[:2] == (path, iteration)]
        assert found, f"{path} {iteration} is in no open graph"
        return found[0]

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
        run.attempts = ended.attempts
        run.made += ended.attempts
        self._take(run, ended)
        self._settle()
        return ended

    def outcome_of(self, path: str, iteration: tuple[int, ...] = (), generation: int = 0) -> Outcome:
        """How a running plain node ends if nothing interrupts it."""
        run = self._find((path, iteration, generation))
        retry, _ = error_policy(run.node, run.frame, self.spec.settings)
        return evaluate.evaluate_node(run.node, run.scope, run.upstream, retry=retry, tried=run.made)

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
        if sum(frame.state == "success" for frame in run.frames) >= self._needed(run):
            return  # it has what it waited for, and only stops the rest
        self._fail_container(run, Failure(TIMEOUT, f"{path} took too long").error)
        self._settle()

    def skip(self, path: str, iteration: tuple[int, ...], output: Any, *, attempts: int = 0) -> bool:
        """Somebody gives a node an output in place of its own; False if it has ended, or is in no open graph.

        `attempts` are those of a node that has begun and does not count them by itself.
        """
        found = [run for run in self._runs() if run.key[:2] == (path, iteration)]
        if not found or found[0].settled or found[0].frame.stopping:
            return False
        run = found[0]
        run.override, run.attempts = output, max(run.attempts, attempts)
        if run.container and run.status == "running" and run.opened and run.gained is None:
            run.cancelled = True
            for frame in run.frames:
                self._cancel_frame(frame)
        elif run.status != "pending":
            self._skip_run(run)
        elif run.ready_at is not None:
            self._number(run)
            self._skip_run(run)
        self._settle()
        return True

    def pause(self) -> None:
        """Nothing starts any more. What has begun goes on, clocks and people included."""
        self.paused = True

    def resume(self) -> None:
        """What was held back starts, and sees what there is now."""
        self.paused = False
        for frame in self._frames():
            if frame.late:
                frame.late, frame.scope = False, self._scope(frame)
        for run in self._runs():
            if run.late and not run.opened:
                run.scope = self._scope(run.frame)
            run.late = False
        for run in self._ready():
            if run.node.type != "http":
                self._start(run)
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
            frame.runs[node_id] = Run(run.node, frame, frame.generation, made=run.made)


def _state(run: Run) -> State:
    shown = run.output if gives_output(run) else None
    return State(run.status, shown, run.error["code"] if run.error else None, run.attempts)
