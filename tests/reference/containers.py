"""Loops and parallels: which passes and branches run, and what their ends mean."""

from __future__ import annotations

from typing import Any

from engine.errors import RESOURCE_EXHAUSTED
from tests.reference import evaluate
from tests.reference.evaluate import Error, Failure, Outcome
from tests.reference.frames import Frame, Run, body_of, branches_of, error_policy, plain_params, walk
from tests.reference.graphs import Graphs


class Containers(Graphs):
    """The rules of containers."""

    generation: int
    archive: list[Run]

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
        if run.override is not None:
            self._skip_run(run)
            return True
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
        return sum(frame.failure is None for frame in run.frames)

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
        run.port_data, run.gained, run.late = output, variables, self.paused
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
            run.status, run.error = "retrying", error
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


def evaluate_inputs_of(run: Run) -> dict[str, Any]:
    """The container's own `inputs`, which its conditions may use."""
    return {"inputs": evaluate.with_inputs(run.node, run.scope)["inputs"]}
