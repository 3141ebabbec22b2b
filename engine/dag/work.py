"""Work: what the pure core asks its driver to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Iteration = tuple[int, ...]
WorkKind = Literal["node", "open", "assign", "pass", "outputs", "timer", "child", "shard", "approval"]
WorkKey = tuple[str, int, Iteration]


@dataclass(slots=True)
class Work:
    """One thing to do.

    kind        subject   what the driver does
    node        node      runs the node (in a region if it is local and `attempt` is 1, else as its own activity)
    open        node      evaluates `when` and the parameters of a container, a delay or a child workflow
    assign      node      evaluates `assign` of such a node, whose output is known now
    pass        graph     evaluates outputs, break_condition and condition at the end of a pass or branch
    outputs     graph     evaluates the outputs of the execution
    timer       node      waits until `deadline` (seconds since the epoch), for `purpose`
    child       node      runs another workflow as a child
    shard       node      runs passes `low` to `high` of a loop in a child Temporal workflow
    approval    node      waits for the words of people, until `deadline` if there is one
    """

    kind: WorkKind
    subject: int
    iteration: Iteration
    generation: int
    attempt: int = 1
    purpose: str = ""
    deadline: float = 0.0
    low: int = 0
    high: int = 0
    started: bool = False

    @property
    def key(self) -> WorkKey:
        if self.kind == "timer":
            return (f"timer:{self.purpose}", self.subject, self.iteration)
        if self.kind == "shard":
            return ("shard", self.subject, (*self.iteration, self.low))
        return (self.kind, self.subject, self.iteration)
