"""Nodes, names and the ends of graphs: the rules that hold in every graph, container or not."""

from __future__ import annotations

from typing import Any

from engine.dag.spec import WorkflowSpec
from engine.errors import CANCELLED
from tests.reference import evaluate
from tests.reference.evaluate import Error, Failure, Outcome
from tests.reference.frames import Frame, Key, Run, error_policy, gives_output, walk


class Graphs:
    """The rules of nodes and edges; `containers` and `interpreter` build on it."""

    spec: WorkflowSpec
    input: Any
    trigger: str | None
    execution: dict[str, Any]
    manual: bool
    reopened: bool
    paused: bool
    main: Frame
    handlers: Frame | None
    error: Error | None
    clock: int

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
                if run.override is not None:
                    self._skip_run(run)
                elif run.node.type == "manual" or not (run.node.type == "http" or self.paused):
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

    def _skip_run(self, run: Run) -> None:
        """It ends with what a person gave it."""
        run.output, run.reason = run.override, "operator"
        self._close_run(run, "skipped")

    def _start(self, run: Run) -> None:
        run.status, run.late = "running", self.paused
        run.scope = self._scope(run.frame)
        self._number(run)
        if run.node.type == "manual":
            run.attempts = 1
            output = self.input
            self._take(run, Outcome("success", output, "out", output))

    def _number(self, run: Run) -> None:
        """A container of a main graph that goes on from its failures runs in a generation of its own."""
        if run.container and run.frame is self.main and self.reopened:
            run.generation = self._next_generation()

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
            run.output, run.port, run.port_data, run.error = ended.output, ended.port, ended.port_data, None
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
        self._after_failure(frame, error)

    def _after_failure(self, frame: Frame, error: Error) -> None:
        """A pass or a branch fails for good: if its container must fail too, all else in that stops now."""
        owner = frame.owner
        if owner is None or self._is_result(frame):
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
        if not run.container or run.settled or run.status == "pending" or run.held:
            return
        run.cancelled = True
        for frame in run.frames:
            self._cancel_frame(frame)
        if run.status == "retrying" or not run.opened or run.gained is not None:
            run.generation = run.generation if run.attempts or run.begun else run.frame.generation  # it never ran
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
                self._begin_closing(frame)
            else:
                frame.state = "failed"
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
        frame.state, frame.late = "closing", self.paused
        frame.scope = self._scope(frame)
        owner = frame.owner
        between = owner is not None and ("break_condition" in owner.node.params or "condition" in owner.node.params)
        if not between and (frame.outputs is None or frame.failure is not None):
            self._close_frame(frame)  # there is nothing to evaluate

    def _close_frame(self, frame: Frame) -> None:
        if frame.failure is not None:  # an item whose failure is its result
            frame.state, frame.result = "success", {"error": frame.failure}
            self._after_pass(frame)
            return
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


def _seen(run: Run, frame: Frame) -> dict[str, Any]:
    """What `nodes.<id>` shows."""
    shown = run.output if gives_output(run) else None
    ports: dict[str, Any] = {}
    for port in frame.live_ports(run):
        ports[port] = run.port_data if run.status == "success" else run.output
    return {"output": shown, "status": run.status, "error": run.error, "ports": ports}
