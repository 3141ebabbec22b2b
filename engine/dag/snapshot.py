"""Snapshots: a run as JSON, for continue-as-new and for regions that yield inside a container.

A snapshot is taken when no activity runs. Waits are carried as deadlines; what was asked for and not begun is asked
for again; children and shards that run are asked for again with `reattach`, so that the driver finds them.
"""

from __future__ import annotations

from typing import Any

from engine.dag.control.loop import Loop
from engine.dag.control.parallel import Parallel
from engine.dag.execution import EXECUTION, HANDLERS_TIMEOUT_S, Execution
from engine.dag.frame import Frame, NodeState
from engine.dag.plan import MAIN, Plan, PlanNode
from engine.dag.state import Container, Run
from engine.dag.work import Iteration


def take_execution(execution: Execution) -> dict[str, Any]:
    """Everything that another run of the Temporal workflow needs to go on."""
    return {
        "frames": [_frame_to_wire(frame) for frame in execution.frames.values()],
        "containers": [_container_to_wire(key, one) for key, one in execution.containers.items()],
        "generation": execution.generation,
        "regenerate": execution.regenerate,
        "input": execution.input,
        "error": execution.error,
        "phase": execution.phase,
        "attempt": execution.attempt,
        "main_generation": execution.main_generation,
        "trigger": execution.trigger,
        "trigger_output": execution.trigger_output,
        "failure": execution.failure,
        "cancelled": execution.cancelled,
        "timed_out": execution.timed_out,
        "waits": _execution_deadline(execution),
        "begun": _begun(execution),
    }


def restore_execution(plan: Plan, wire: dict[str, Any], now: float, *, shard_passes: int) -> Execution:
    """The execution as it was, with its open work asked for again."""
    execution = Execution(plan, shard_passes=shard_passes)
    execution.now = now
    _restore_fields(execution, wire)
    _restore_tree(execution, wire["frames"], wire["containers"], None)
    for frame in list(execution.frames.values()):
        _resume(execution, frame)
    if execution.phase == "outputs":
        execution.ask_again("outputs", MAIN, (), 0)
    elif execution.phase in ("waiting", "handlers"):
        purpose = "execution" if execution.phase == "waiting" else "handlers"
        execution.ask_again("timer", EXECUTION, (), 0, purpose=purpose, deadline=wire["waits"])
    _tell_begun(execution, wire)
    return execution


def _begun(run: Run) -> list[list[Any]]:
    """Children, shards and approvals that exist; what was asked for and held back does not."""
    works = [work for work in run.works.values() if work.started and work.kind in ("child", "shard", "approval")]
    return [[work.key[0], work.key[1], list(work.key[2])] for work in works]


def _tell_begun(run: Run, wire: dict[str, Any]) -> None:
    begun = {(row[0], row[1], tuple(row[2])) for row in wire["begun"]}
    for work in run.works.values():
        if work.purpose == "reattach" and work.key not in begun:
            work.purpose = ""


def _restore_fields(execution: Execution, wire: dict[str, Any]) -> None:
    names = ("generation", "regenerate", "input", "error", "phase", "attempt", "main_generation", "trigger")
    for name in (*names, "trigger_output", "failure", "cancelled", "timed_out"):
        setattr(execution, name, wire[name])


def _execution_deadline(execution: Execution) -> float:
    for purpose in ("execution", "handlers"):
        work = execution.works.get((f"timer:{purpose}", EXECUTION, ()))
        if work is not None:
            return work.deadline
    return execution.now + HANDLERS_TIMEOUT_S


def take_container(run: Run, frame: Frame, node: PlanNode) -> dict[str, Any]:
    """One container with everything in it, for a region that yields."""
    frames = [inner for inner in run.frames.values() if _stands_in(inner, frame, node.index)]
    keys = [(node.index, frame.iteration)]
    keys += [
        key for key in run.containers if any((key[1] == inner.iteration and key[0] in inner.nodes) for inner in frames)
    ]
    return {
        "state": frame.nodes[node.index].to_wire(),
        "frames": [_frame_to_wire(inner) for inner in frames],
        "containers": [_container_to_wire(key, run.containers[key]) for key in keys if key in run.containers],
        "generation": run.generation,
        "begun": _begun(run),
    }


def restore_container(run: Run, frame: Frame, node: PlanNode, wire: dict[str, Any]) -> None:
    """Go on with a container where `take_container` left it."""
    state = NodeState.from_wire(wire["state"])
    frame.nodes[node.index] = state
    frame.active += 1
    run.generation = max(run.generation, wire["generation"])
    frames = _restore_tree(run, wire["frames"], wire["containers"], frame)
    if (node.index, frame.iteration) not in run.containers:
        _resume_node(run, frame, node, state)
    for inner in frames:
        _resume(run, inner)
    _tell_begun(run, wire)


def _stands_in(inner: Frame, outer: Frame, owner: int) -> bool:
    frame = inner
    while frame.parent is not None:
        if frame.parent is outer and frame.graph.owner == owner:
            return True
        frame = frame.parent
    return False


def _frame_to_wire(frame: Frame) -> dict[str, Any]:
    return {
        "g": frame.graph.index,
        "it": list(frame.iteration),
        "gen": frame.generation,
        "p": [frame.parent.graph.index, list(frame.parent.iteration)] if frame.parent else None,
        "n": [[index, *state.to_wire()] for index, state in frame.nodes.items()],
        "v": frame.variables,
        "t": frame.item,
        "x": frame.index,
        "u": frame.upstream,
        "l": frame.last,
        "f": frame.failure,
        "fn": frame.failure_node,
        "c": frame.cancelling,
        "cl": frame.closing,
        "o": frame.order,
    }


def _container_to_wire(key: tuple[int, Iteration], container: Container) -> list[Any]:
    return [key[0], list(key[1]), container.to_wire()]


def _restore_tree(run: Run, frames: list[Any], containers: list[Any], root: Frame | None) -> list[Frame]:
    restored: list[Frame] = []
    for wire in frames:
        parent = None
        if wire["p"] is not None:
            key = (wire["p"][0], tuple(wire["p"][1]))
            parent = root if root is not None and root.key == key else run.frames[key]
        frame = _frame_from_wire(run.plan, wire, parent)
        run.frames[frame.key] = frame
        restored.append(frame)
    for index, iteration, wire in containers:
        node = run.plan.nodes[index]
        names = [run.plan.graphs[body].id for body in node.bodies]
        container = Loop.from_wire(wire) if node.kind == "loop" else Parallel.from_wire(wire, names)
        run.containers[(index, tuple(iteration))] = container
    return restored


def _frame_from_wire(plan: Plan, wire: dict[str, Any], parent: Frame | None) -> Frame:
    frame = Frame(plan.graphs[wire["g"]], tuple(wire["it"]), wire["gen"], parent)
    frame.nodes = {row[0]: NodeState.from_wire(row[1:]) for row in wire["n"]}
    frame.variables, frame.item, frame.index = wire["v"], wire["t"], wire["x"]
    frame.upstream, frame.last = wire["u"], wire["l"]
    frame.failure, frame.failure_node = wire["f"], wire["fn"]
    frame.cancelling, frame.closing, frame.order = wire["c"], wire["cl"], wire["o"]
    states = frame.nodes.values()
    frame.unsettled = sum(not state.settled for state in states)
    frame.active = sum(not state.settled and state.status != "pending" for state in states)
    return frame


def _resume(run: Run, frame: Frame) -> None:
    """Ask again for everything that this frame was waiting for."""
    if frame.closing and frame.graph.owner is not None and frame.parent is not None:
        run.ask_again("pass", frame.graph.index, frame.iteration, frame.generation)
    for index, state in frame.nodes.items():
        if not state.settled and state.status != "pending":
            _resume_node(run, frame, run.plan.nodes[index], state)


def _resume_node(run: Run, frame: Frame, node: PlanNode, state: NodeState) -> None:
    container = run.containers.get((node.index, frame.iteration))
    place = (node.index, frame.iteration)
    if container is not None:
        _resume_container(run, node, frame.iteration, state, container)
    elif state.status == "waiting" and node.kind != "delay":
        run.ask_again("approval", *place, state.generation, deadline=state.deadline, purpose="reattach")
    elif state.status in ("waiting", "retrying"):
        purpose = "delay" if state.status == "waiting" else "retry"
        run.ask_again("timer", *place, 0, purpose=purpose, deadline=state.deadline)
    elif state.status == "closing":
        run.ask_again("assign", *place, state.generation)
    elif state.status == "running" and node.kind == "workflow" and state.opened is not None:
        run.ask_again("child", *place, state.generation, purpose="reattach")
    else:
        run.ask_again(run.first_kind(node), *place, state.generation, attempt=state.attempts + 1)


def _resume_container(run: Run, node: PlanNode, iteration: Iteration, state: NodeState, container: Container) -> None:
    if isinstance(container, Parallel):
        if state.deadline:
            run.ask_again("timer", node.index, iteration, 0, purpose="timeout", deadline=state.deadline)
    elif container.sharded:
        highs = {low: min(low + container.sharded, container.high or 0) for low in container.running}
        for low, high in highs.items():
            generation = container.generation
            run.ask_again("shard", node.index, iteration, generation, low=low, high=high, purpose="reattach")
