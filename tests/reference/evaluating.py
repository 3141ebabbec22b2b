"""Works out what a piece of the core's work comes to, from the core's own scope, in the reference's slow way."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, cast

from engine.dag import outcome as core
from engine.dag.execution import Execution
from engine.dag.frame import leaf_outputs
from engine.dag.plan import Plan
from engine.dag.scope import scope_of
from engine.dag.spec import NodeSpec, WorkflowSpec
from engine.dag.values import Value, inline, read
from engine.dag.work import Iteration, Work
from tests.reference import evaluate
from tests.reference.evaluate import Failure, Outcome
from tests.reference.frames import Key, body_of, branches_of, plain_params
from tests.reference.interpreter import Due

Place = tuple[str, Iteration]


class Evaluating(ABC):
    """Outcomes of work without a row, and the names that work may use."""

    spec: WorkflowSpec
    plan: Plan
    specs: dict[str, NodeSpec]
    core: Execution
    data: Any

    @abstractmethod
    def _perform(self, due: Due) -> None:
        """Tell the reference."""

    @abstractmethod
    def _complete(self, work: Work, outcome: core.Outcome) -> None:
        """Tell the core."""

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
            self.core.mark_started(work, 0.0)
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


def _view(view: list[Any]) -> dict[str, Any]:
    status, output, port, data, error = view + [0] * (5 - len(view))
    ports = {port: read(data or output)} if port else {}
    return {"output": read(output), "status": status, "error": error or None, "ports": ports}


def core_leaves(plan: Plan, frame: Any) -> Value:
    return leaf_outputs(frame, plan.leaves(frame.graph))
