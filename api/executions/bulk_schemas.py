"""Bodies of bulk commands."""

from __future__ import annotations

from typing import Literal, Self
from uuid import UUID

from pydantic import Field, model_validator

from api.executions.queries import FilterRequest
from api.executions.schemas import ExecutionReply
from api.schemas import Reply, Request

Action = Literal["cancel", "pause", "resume", "rerun", "retry"]


class BulkRequest(Request):
    """Do the same to many executions. `retry` tries each node that waits for its next attempt at once."""

    action: Action
    filter: FilterRequest
    dry_run: bool = Field(default=True, description="Only say which executions it would be")
    limit: int = Field(default=100, ge=1, le=500, description="Most executions of one request")
    from_node: str | None = Field(
        default=None, min_length=1, max_length=200, description="Of a rerun: the top-level node that it begins at"
    )

    @model_validator(mode="after")
    def _means_something(self) -> Self:
        if not self.filter.model_dump(exclude_none=True):
            raise ValueError("the filter names nothing: give at least one condition")
        if self.from_node is not None and self.action != "rerun":
            raise ValueError("from_node belongs to a rerun")
        return self


class BulkResult(Reply):
    """What became of one execution; `started` is the new execution of a rerun, `nodes` how many were tried again."""

    id: UUID
    done: bool
    code: str | None = Field(default=None, description="Code of the error, null if it was done")
    detail: str | None = None
    started: UUID | None = None
    nodes: int | None = None


class BulkReply(Reply):
    """`matched` executions fit the filter and can take the action, counted up to `matched_at_most`.

    `first` names up to 20 of them if it was a dry run, `results` says what became of each if not. `refused` of those
    looked at are left out because the caller may not control them.
    """

    action: Action
    dry_run: bool
    matched: int
    matched_at_most: int
    refused: int
    first: list[ExecutionReply] = Field(default_factory=list[ExecutionReply])
    results: list[BulkResult] = Field(default_factory=list[BulkResult])
