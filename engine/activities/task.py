"""A piece of work on its way through the evaluation, with its log and what the record keeps of its input."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from engine.activities.inputs import recorded_input
from engine.activities.node_log import NodeLog
from engine.activities.program import GraphProgram, NodeProgram
from engine.activities.runtime import ExecutionRuntime
from engine.dag.outcome import Outcome
from engine.dag.values import Value
from engine.dag.work import Work
from engine.errors import NodeError
from engine.nodes.receipt import Receipt


@dataclass(slots=True)
class Task:
    """A piece of work with the data that it may see. `outcome` is set when it is over."""

    work: Work
    wire: dict[str, Any]
    attempt: int = 1
    scope: dict[str, Any] = field(default_factory=dict[str, Any])
    program: NodeProgram | None = None
    graph: GraphProgram | None = None
    rendered: Any = None
    outcome: Outcome | None = None
    started_at: float = 0.0
    output: Value | None = None  # of a node whose assign is evaluated alone
    budget_approved: bool = False
    receipt: Receipt | None = None  # to settle when it is known what becomes of the outcome
    log: NodeLog | None = None

    def fail(self, error: NodeError, attempts: int = 1) -> None:
        now = time.time()
        self.outcome = Outcome(
            "failed", error=error.as_dict(), attempts=attempts, started_at=self.started_at, finished_at=now
        )


def log_of(runtime: ExecutionRuntime, task: Task) -> NodeLog:
    """The log of the attempt, also of one that does not get as far as its node."""
    if task.log is None:
        shared = runtime.shared
        task.log = NodeLog(
            shared.logs,
            runtime.tenant,
            UUID(runtime.meta["execution_id"]),
            None if task.program is None else task.program.node.path,
            task.work.iteration,
            task.attempt,
            shared.log_level,
        )
    return task.log


async def input_of(runtime: ExecutionRuntime, task: Task, inline_limit: int) -> Value | None:
    """The resolved parameters of a node for the record; None if it came to none."""
    if task.program is None or task.rendered is None or runtime.shared.record_inputs == "none":
        return None
    secrets = () if task.log is None else task.log.secrets
    return await recorded_input(
        runtime.shared.values, runtime.tenant, task.program, task.rendered, secrets, inline_limit
    )
