"""Scope: the values that one piece of work may see, gathered for the activity that evaluates it.

Wire form, absent where not used: `n` {node index: view}, `v` variables, `i` execution input, `t` item, `x` index,
`l` last, `e` error, `u` upstream output; at the end of a pass `leaves`, its result if it names no outputs, or `failed`,
the result of an item that failed. A view is [status, output, port, data, error] without trailing empties.
"""

from __future__ import annotations

from typing import Any

from engine.dag.frame import Frame
from engine.dag.outcome import TERMINAL
from engine.dag.plan import PlanNode, Uses
from engine.dag.state import Run
from engine.dag.values import NULL, Value, mapping, wire_size
from engine.dag.work import Work

UNSEEN: list[Any] = ["pending", NULL]


def uses_of(run: Run, work: Work) -> Uses:
    """What the templates of the work name."""
    if work.kind in ("pass", "outputs"):
        return run.plan.graphs[work.subject].uses
    return run.plan.nodes[work.subject].uses


def view_of(run: Run, frame: Frame | None, index: int) -> list[Any]:
    """What expressions in `frame` see of a node: of this frame, of those around it, or of outside the run."""
    while frame is not None:
        state = frame.nodes.get(index)
        if state is not None:
            return state.view() if state.status in TERMINAL else [_shown(state.status), state.output]
        frame = frame.parent
    main = run.frames.get((run.plan.nodes[index].graph, ()))
    if main is not None and index in main.nodes:
        return main.nodes[index].view()
    return run.outer.get(index, UNSEEN)


def _shown(status: str) -> str:
    return {"queued": "pending", "closing": "running"}.get(status, status)


def scope_of(run: Run, work: Work) -> dict[str, Any]:
    """The scope of one piece of work, as it is now."""
    frame = run.frame_of(work)
    node = run.plan.nodes[work.subject] if work.kind not in ("pass", "outputs") else None
    scope = frame_scope(run, frame, uses_of(run, work))
    if node is not None and needs_upstream(node):
        scope["u"] = run.upstream_of(frame, node)
    if work.kind == "assign":
        scope["v"] = frame.nodes[work.subject].before or {}
    if work.kind == "pass" and frame.failure is not None:
        scope["failed"] = frame.failed_result
    elif work.kind == "pass" and not frame.graph.named:
        scope["leaves"] = leaves_of(run, frame)
    return scope


def leaves_of(run: Run, frame: Frame) -> Value:
    """The result of a graph that names no outputs: by id, the outputs of its leaves that emitted a port."""
    views = {node.id: view_of(run, frame, node.index) for node in run.plan.leaves(frame.graph)}
    return mapping({name: view[1] for name, view in views.items() if len(view) > 2 and view[2]})


def needs_upstream(node: PlanNode) -> bool:
    return node.reads_upstream or node.final == "skip"


def frame_scope(run: Run, frame: Frame, uses: Uses) -> dict[str, Any]:
    """The scope that `uses` needs in a frame, without an upstream output."""
    scope: dict[str, Any] = {}
    if uses.nodes:
        scope["n"] = {str(index): view_of(run, frame, index) for index in uses.nodes}
    if uses.variables:
        visible = frame.visible_variables()
        scope["v"] = {name: visible.get(name, NULL) for name in uses.variables}
    names = uses.names
    if "input" in names:
        scope["i"] = run.input
    if "error" in names and run.error is not None:
        scope["e"] = run.error
    if "item" in names or "index" in names or "last" in names:
        _add_pass(scope, frame)
    return scope


def _add_pass(scope: dict[str, Any], frame: Frame) -> None:
    """The innermost `index` with its `last`, and the innermost `item`, which a while loop has none of."""
    around: Frame | None = frame
    while around is not None:
        if "x" not in scope and around.index is not None:
            scope["x"] = around.index
            if around.last is not None:
                scope["l"] = around.last
        if "t" not in scope and around.item is not None:
            scope["t"] = around.item
        around = around.parent


def scope_size(scope: dict[str, Any]) -> int:
    """Bytes that the scope takes on the wire, roughly."""
    size = 0
    for view in scope.get("n", {}).values():
        size += 40 + sum(wire_size(part) for part in view if isinstance(part, dict) and _is_value(part))
    size += sum(wire_size(value) for value in scope.get("v", {}).values())
    return size + sum(wire_size(scope[name]) for name in ("i", "t", "l", "e", "u") if name in scope)


def _is_value(part: dict[str, Any]) -> bool:
    return bool(part.keys() & {"v", "r", "l", "o", "c", "e"}) and "code" not in part
