"""Containers: the passes of loops and the branches of parallels, from the opening of the container to its end."""

from __future__ import annotations

from typing import Any

from engine.dag.control.loop import Loop
from engine.dag.control.parallel import Parallel
from engine.dag.frame import Frame, NodeState
from engine.dag.machine.stopping import Stopping
from engine.dag.machine.works import Container
from engine.dag.outcome import Outcome, failed
from engine.dag.plan import PlanNode
from engine.dag.values import Value
from engine.dag.work import Work


class Containers(Stopping):
    """Loops, here and in shards, and parallels."""

    def _open_loop(
        self, frame: Frame, node: PlanNode, state: NodeState, variables: dict[str, Value] | None = None
    ) -> None:
        loop = Loop(state.opened or {}, state.generation)
        loop.variables.update(variables or {})
        self.containers[(node.index, frame.iteration)] = loop
        count = loop.opened.get("count")
        whole = "high" not in loop.opened
        if whole and self.shard_passes and count is not None and count > self.shard_passes:
            loop.sharded = self.shard_passes
        loop.failure = loop.refusal()
        self._advance_loop(frame, node, loop)

    def _open_parallel(self, frame: Frame, node: PlanNode, state: NodeState) -> None:
        opened = state.opened or {}
        names = [self.plan.graphs[body].id for body in node.bodies]
        parallel = Parallel(opened, state.generation, names)
        self.containers[(node.index, frame.iteration)] = parallel
        if opened.get("timeout_s"):
            state.deadline = self.now + float(opened["timeout_s"])
            self._issue_timer(node.index, frame.iteration, "timeout", state.deadline)
        upstream = self.upstream_of(frame, node)
        frames = [
            self.open_frame(body, frame.iteration, state.generation, frame, upstream=upstream) for body in node.bodies
        ]
        for branch in frames:
            if self.containers.get((node.index, frame.iteration)) is parallel and not branch.stopping:
                self.begin_frame(branch)
        if not frames:
            self._check_container(frame, node)

    def _advance_loop(self, frame: Frame, node: PlanNode, loop: Loop) -> None:
        key = (node.index, frame.iteration)
        while self.containers.get(key) is loop:
            index = loop.startable()
            if index is None:
                break
            if loop.sharded:
                self._start_shard(frame, node, loop, index)
            else:
                self._start_pass(frame, node, loop, index)
        if loop.failure is not None:
            self._stop_passes(frame, node, loop, above=-1)
        self._check_container(frame, node)

    def _start_pass(self, frame: Frame, node: PlanNode, loop: Loop, index: int) -> None:
        loop.next += 1
        loop.running.append(index)
        item = loop.item(index)
        upstream = item if loop.opened.get("items") is not None else None
        body = self.open_frame(
            node.bodies[0],
            (*frame.iteration, index),
            loop.generation,
            frame,
            upstream=upstream if upstream is not None else self.upstream_of(frame, node),
        )
        body.item, body.index, body.last = item, index, loop.last
        body.variables = dict(loop.variables)
        self.begin_frame(body)

    def _start_shard(self, frame: Frame, node: PlanNode, loop: Loop, low: int) -> None:
        high = min(low + loop.sharded, loop.high or 0)
        loop.next = high
        loop.running.append(low)
        self._issue("shard", node.index, frame.iteration, loop.generation, low=low, high=high)

    def _loop_of(self, frame: Frame) -> tuple[Frame, PlanNode, Loop]:
        assert frame.parent is not None
        assert frame.graph.owner is not None
        node = self.plan.nodes[frame.graph.owner]
        container = self.containers[(node.index, frame.parent.iteration)]
        assert isinstance(container, Loop)
        return frame.parent, node, container

    def _pass_closed(self, frame: Frame, outcome: Outcome) -> None:
        parent, node, loop = self._loop_of(frame)
        index = frame.iteration[-1]
        if frame.failure is None:
            loop.variables.update(frame.variables)
        opened = outcome.opened or {}
        cut = loop.close_pass(
            index, outcome.output, broke=bool(opened.get("broke")), proceed=opened.get("proceed", True)
        )
        del self.frames[frame.key]
        if cut:
            self._stop_passes(parent, node, loop, above=loop.broken or 0)
        self._advance_loop(parent, node, loop)

    def _pass_failed(self, frame: Frame) -> None:
        parent, node, loop = self._loop_of(frame)
        index = frame.iteration[-1]
        failed_itself = frame.failure is not None and not frame.cancelling
        if failed_itself and loop.continues and loop.failure is None:
            if loop.opened.get("breaks"):
                self._issue("pass", frame.graph.index, frame.iteration, frame.generation)
                return
            loop.close_pass(index, frame.failed_result, broke=False, proceed=True)
        else:
            loop.running.remove(index)
            if failed_itself:
                loop.fail(frame.failure, frame.failure_node)
        del self.frames[frame.key]
        self._advance_loop(parent, node, loop)

    def _stop_passes(self, frame: Frame, node: PlanNode, loop: Loop, *, above: int) -> None:
        for index in [running for running in loop.running if running > above]:
            if loop.sharded:
                self._cancel_work(("shard", node.index, (*frame.iteration, index)))
            else:
                body = self.frames.get((node.bodies[0], (*frame.iteration, index)))
                if body is not None:
                    self.cancel(body)

    def _shard_done(self, work: Work, outcome: Outcome) -> None:
        frame, _ = self._locate(work)
        node = self.plan.nodes[work.subject]
        loop = self.containers[(node.index, work.iteration)]
        assert isinstance(loop, Loop)
        self.generation = max(self.generation, outcome.generation)
        loop.running.remove(work.low)
        opened = outcome.opened or {}
        if outcome.status == "success":
            loop.results[work.low] = outcome.output  # a list: the shard's results in order
            loop.sizes[work.low] = int(opened["iterations"])
            loop.variables.update(outcome.assigned or {})
            if opened.get("broken") is not None and (loop.broken is None or opened["broken"] < loop.broken):
                loop.broken = opened["broken"]
                self._stop_passes(frame, node, loop, above=work.low)
        elif outcome.status == "failed":
            loop.fail(outcome.error)
        self._advance_loop(frame, node, loop)

    def _parallel_of(self, frame: Frame) -> tuple[Frame, PlanNode, Parallel, int]:
        assert frame.parent is not None
        assert frame.graph.owner is not None
        node = self.plan.nodes[frame.graph.owner]
        container = self.containers[(node.index, frame.parent.iteration)]
        assert isinstance(container, Parallel)
        return frame.parent, node, container, node.bodies.index(frame.graph.index)

    def _branch_closed(self, frame: Frame, outcome: Outcome) -> None:
        parent, node, parallel, number = self._parallel_of(frame)
        del self.frames[frame.key]
        if parallel.close_branch(number, outcome.output, frame.variables):
            self._stop_branches(parent, node, parallel)
        self._check_container(parent, node)

    def _branch_failed(self, frame: Frame) -> None:
        parent, node, parallel, number = self._parallel_of(frame)
        del self.frames[frame.key]
        parallel.running.remove(number)
        if frame.failure is not None and not frame.cancelling:
            self._branch_failing(parent, node, parallel, number, frame)
        self._check_container(parent, node)

    def _branch_failing(self, parent: Frame, node: PlanNode, parallel: Parallel, number: int, frame: Frame) -> None:
        if parallel.fail_branch(number, frame.failure, frame.failure_node):
            self._stop_branches(parent, node, parallel)

    def _stop_branches(self, frame: Frame, node: PlanNode, parallel: Parallel) -> None:
        for number in list(parallel.running):
            branch = self.frames.get((node.bodies[number], frame.iteration))
            if branch is not None:
                self.cancel(branch)

    def _parallel_timed_out(self, frame: Frame, node: PlanNode) -> None:
        parallel = self.containers[(node.index, frame.iteration)]
        assert isinstance(parallel, Parallel)
        parallel.time_out(float(parallel.opened["timeout_s"]))
        self._stop_branches(frame, node, parallel)
        self._check_container(frame, node)

    def _check_container(self, frame: Frame, node: PlanNode) -> None:
        """End the container if nothing in it runs and nothing more may start."""
        key = (node.index, frame.iteration)
        container = self.containers.get(key)
        if container is None or not container.finished or self._waits(container):
            return
        del self.containers[key]
        self._cancel_work(("timer:timeout", *key))
        state = frame.nodes[node.index]
        if container.stopped:
            outcome = Outcome("cancelled", attempts=state.attempts)
        elif container.failure is not None:
            outcome = failed(self._container_error(container), attempts=state.attempts)
        else:
            merged = container.variables if isinstance(container, Loop) else container.merged_variables()
            outcome = Outcome("success", output=container.output(), attempts=state.attempts, assigned=dict(merged))
        outcome.finished_at = self.now
        self._after_opened(frame, node, outcome)

    def _waits(self, container: Container) -> bool:
        return isinstance(container, Loop) and container.startable() is not None

    def _container_error(self, container: Container) -> dict[str, Any]:
        """The inner error, with the node it came from and the iterations that had finished."""
        error = dict(container.failure or {})
        details: dict[str, Any] = dict(error.get("details") or {})
        if container.failure_path:
            details.setdefault("node", container.failure_path)
        if isinstance(container, Loop):
            details["finished"] = sorted(container.results)[:1000]
        error["details"] = details
        return error
