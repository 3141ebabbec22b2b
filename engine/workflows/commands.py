"""What people may ask of a running execution or shard, and what they may see of it."""

from __future__ import annotations

from typing import Any

from temporalio import workflow
from temporalio.exceptions import ApplicationError

from engine.contracts import APPROVE, PAUSE, RESUME, RETRY_NOW, SKIP, Command
from engine.dag.state import Run
from engine.workflows.driver import Driver

SKIP_AFTER_REGION = "skip-waits-for-the-end-of-the-region"
_SHOWN = {"queued": "pending", "closing": "running"}


async def obey_in_turn(driver: Driver, command: Command) -> bool:
    """As `obey`, but a skip of a node that a region holds waits for the region's end.

    What the region makes of the nodes behind rests on the node's own output, and it may close the record with it. A
    region lasts a second, and seconds where it is an activity; then the node has settled or is skipped.
    """
    place = command.path, tuple(command.iteration)
    if command.name == SKIP and driver.segments.holds(*place):
        return await driver.segments.after(*place, lambda: obey(driver, command))
    held = command.name == SKIP and driver.regions.holds(command.path, tuple(command.iteration))
    if held and workflow.patched(SKIP_AFTER_REGION):
        return await driver.regions.after(lambda: obey(driver, command))
    return obey(driver, command)


def obey(driver: Driver, command: Command) -> bool:
    """Carry out a command; False if what it names is not in this Temporal workflow or has settled."""
    if command.name in (PAUSE, RESUME):
        driver.paused = command.name == PAUSE
        driver.children.tell(command)
        driver.wake()
        return True
    iteration = tuple(command.iteration)
    if command.name == RETRY_NOW:
        done = driver.retry_now(command.path, iteration)
    elif command.name == SKIP:
        done = driver.run.skip(command.path, iteration, command.output or {"v": None, "n": 4})
    elif command.name == APPROVE:
        done = driver.approvals.decide(command)
    else:
        raise ApplicationError(f"unknown command {command.name!r}", type="UNKNOWN_COMMAND", non_retryable=True)
    if not done and driver.children.busy:
        driver.children.tell(command)
        done = driver.run.plan.by_path.get(command.path) is not None and bool(iteration)
    driver.wake()
    return done


def states(run: Run) -> list[dict[str, Any]]:
    """Every node execution that this Temporal workflow holds now, for a query."""
    shown: list[dict[str, Any]] = []
    for frame in run.frames.values():
        for index, state in frame.nodes.items():
            row: dict[str, Any] = {
                "path": run.plan.nodes[index].path,
                "iteration": list(frame.iteration),
                "generation": state.generation,
                "status": _SHOWN.get(state.status, state.status),
                "attempts": state.attempts,
            }
            shown.append(row)
    return shown


def counts(run: Run) -> dict[str, int]:
    """Nodes of the main graph by status, in a fixed order."""
    found: dict[str, int] = {}
    frame = run.frames.get((0, ()))
    for state in frame.nodes.values() if frame else ():
        name = _SHOWN.get(state.status, state.status)
        found[name] = found.get(name, 0) + 1
    return dict(sorted(found.items()))
