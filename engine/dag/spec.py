"""WorkflowSpec: the document that people write, as it stands in a file or a version.

Only shapes are checked here; `engine.dag.validate` checks what they mean and reports every issue at once.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from engine.dag.durations import Duration

SCHEMA_VERSION = 1
OnError = Literal["fail", "retry", "continue", "skip"]
Then = Literal["fail", "continue", "skip"]


class Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class Retry(Part):
    """How a failed attempt is repeated; becomes a Temporal RetryPolicy (`fixed` is coefficient 1)."""

    strategy: Literal["fixed", "exponential"] = "exponential"
    interval: Duration = Field(default="1s", validate_default=True)  # pyright: ignore[reportAssignmentType]
    backoff: float = Field(default=2.0, ge=1, le=100)
    max_interval: Duration | None = None
    max_attempts: int = Field(default=3, ge=1, le=1000)


class ExecutionRetry(Retry):
    """The same for the whole execution: from the failed nodes, or from the start."""

    max_attempts: int = Field(default=2, ge=1, le=100)
    resume_from: Literal["failed", "start"] = Field(default="failed", alias="from")


class Cache(Part):
    ttl: Duration


class NodeSpec(Part):
    """A vertex of the graph."""

    id: str
    type: str
    name: str | None = None
    params: dict[str, Any] = Field(default_factory=dict)
    credential: str | None = None
    timeout: Duration | None = None
    retry: Retry | None = None
    on_error: OnError | None = None
    then: Then | None = None
    when: str | bool | None = None
    inputs: dict[str, Any] = Field(default_factory=dict)
    assign: dict[str, Any] = Field(default_factory=dict)
    join: Literal["all", "any"] = "all"
    cache: Cache | None = None
    isolate: bool = False
    position: dict[str, float] | None = None  # where an editor drew it; means nothing to the engine


class EdgeSpec(Part):
    source: str
    target: str
    source_port: str = "out"
    target_port: str = "in"


class GraphSpec(Part):
    """Nodes and edges: the document's own graph, a handler graph."""

    nodes: list[NodeSpec] = Field(default_factory=list)
    edges: list[EdgeSpec] = Field(default_factory=list)


class BodySpec(GraphSpec):
    """The sub-graph of a loop: what one pass runs and what it gives."""

    outputs: Any = None


class BranchSpec(BodySpec):
    """One branch of a `parallel` node."""

    id: str


class VariableSpec(Part):
    default: Any = None
    description: str | None = None


class Notification(Part):
    on: list[Literal["failed", "succeeded", "cancelled", "timed_out", "waiting"]]
    via: Literal["webhook", "email"]
    url: str | None = None
    to: list[str] = Field(default_factory=list)


class Budget(Part):
    """What the AI calls of one execution may use; reserved before each call, so it is never passed."""

    tokens: int | None = Field(default=None, ge=1)
    cost: float | None = Field(default=None, gt=0, allow_inf_nan=False)

    @model_validator(mode="after")
    def _bounds_something(self) -> Self:
        if self.tokens is None and self.cost is None:
            raise ValueError("a budget needs tokens, cost or both")
        return self


class Settings(Part):
    timeout: Duration | None = None
    max_parallel_nodes: int = Field(default=50, ge=1, le=500)
    max_concurrent_executions: int | None = Field(default=None, ge=1)
    on_error: OnError = "fail"
    retry: ExecutionRetry | None = None
    notifications: list[Notification] = Field(default_factory=list)
    priority: int = Field(default=3, ge=1, le=5)
    budget: Budget | None = None
    dispatch: Literal["activities", "fused"] = "activities"  # fused: many short I/O nodes share an activity


class WorkflowSpec(Part):
    """A whole document."""

    schema_version: Literal[1] = 1
    name: Annotated[str, Field(min_length=1, max_length=200)]
    description: str = ""
    inputs: dict[str, Any] = Field(default_factory=dict)
    variables: dict[str, VariableSpec] = Field(default_factory=dict)
    nodes: list[NodeSpec]
    edges: list[EdgeSpec] = Field(default_factory=list)
    handlers: GraphSpec = Field(default_factory=GraphSpec)
    outputs: Any = None
    settings: Settings = Field(default_factory=Settings)

    @property
    def graph(self) -> GraphSpec:
        return GraphSpec(nodes=self.nodes, edges=self.edges)
