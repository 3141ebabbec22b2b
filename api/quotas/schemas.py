"""Bodies of the routes of quotas."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal, Self
from uuid import UUID

from fastapi import Query
from pydantic import Field, model_validator

from api.schemas import Reply, Request

Kind = Literal[
    "workflows",
    "executions",
    "concurrent_executions",
    "execution_seconds",
    "execution_timeout_s",
    "nodes",
    "stored_bytes",
]
Scope = Literal["tenant", "user", "workflow"]
Period = Literal["hour", "day", "month"]
KindQuery = Annotated[Kind, Query()]
ScopeQuery = Annotated[Scope, Query()]
PeriodQuery = Annotated[Period | None, Query()]
PersonQuery = Annotated[str | None, Query(min_length=1, max_length=255)]
WorkflowQuery = Annotated[UUID | None, Query()]

_PERIODIC = ("executions", "execution_seconds")
_NOT_OF_WORKFLOWS = ("workflows", "stored_bytes")
_PERSON = "The person, as `started_by` names her; each one if left out"


class QuotaRequest(Request):
    """A limit. Repeating it changes the limit; it holds for what begins from now on."""

    kind: Kind = Field(
        description="workflows: not archived · executions: started in a period · concurrent_executions: others wait · "
        "execution_seconds: run time in a period, counted when an execution ends · execution_timeout_s: the longest "
        "time of one · nodes: of one workflow, at save · stored_bytes: rows and large outputs, about"
    )
    scope: Scope = "tenant"
    person: str | None = Field(default=None, min_length=1, max_length=255, description=_PERSON)
    workflow_id: UUID | None = Field(default=None, description="The workflow; each one if left out")
    period: Period | None = Field(default=None, description="Periods begin at the full hour, day or month, UTC")
    limit: int = Field(ge=0, le=9_000_000_000_000_000)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if (self.period is not None) != (self.kind in _PERIODIC):
            needed = "needs a period" if self.kind in _PERIODIC else "has no period"
            raise ValueError(f"a quota of {self.kind} {needed}")
        if self.scope == "workflow" and self.kind in _NOT_OF_WORKFLOWS:
            raise ValueError(f"a quota of {self.kind} is one of the tenant or of a user")
        if (self.person is not None and self.scope != "user") or (
            self.workflow_id is not None and self.scope != "workflow"
        ):
            raise ValueError("person goes with scope user, workflow_id with scope workflow")
        return self


class QuotaReply(Reply):
    """A limit. `person` or `workflow_id` is null where it holds for each that has no limit of its own."""

    kind: str
    scope: str
    person: str | None
    workflow_id: UUID | None
    period: str | None
    limit: int
    updated_at: datetime


class QuotaUsage(Reply):
    """What one subject has used of a limit. A limit for each person or workflow shows those that use of it."""

    kind: str
    scope: str
    person: str | None
    workflow_id: UUID | None
    period: str | None
    limit: int
    used: int
    frees_at: datetime | None = Field(description="When its period ends; null if what frees it is use")


class Quotas(Reply):
    """All limits of a tenant."""

    items: list[QuotaReply]


class Usages(Reply):
    """What is used, now."""

    items: list[QuotaUsage]
