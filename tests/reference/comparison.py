"""What two engines must agree on, without what may differ from run to run."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from engine.dag.plan import Plan, PlanNode
from engine.dag.work import Iteration
from tests.reference import evaluate
from tests.reference.evaluate import Outcome
from tests.reference.frames import Key, State


def shape(ended: Outcome) -> Any:
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
