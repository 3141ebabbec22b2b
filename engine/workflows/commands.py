"""What people may ask of a running execution or shard, and what they may see of it."""

from __future__ import annotations

from typing import Any

from temporalio.exceptions import ApplicationError

from engine.contracts import APPROVE, PAUSE, RESUME, RETRY_NOW, SKIP, Command
from engine.dag.state import Run
from engine.workflows.driver import Driver

_SHOWN = {"queued": "pending", "closing": "running"}


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
