"""Bodies of the routes of usage."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from api.schemas import Money, Reply
from models.repositories.ai_usage import Sums


class UsageSums(Reply):
    """What AI calls used. `cost` is null if no model of theirs has a price."""

    calls: int = Field(description="Calls that were answered")
    failed_calls: int = Field(description="Calls that came to nothing")
    input_tokens: int
    output_tokens: int
    images: int
    cost: Money | None

    @classmethod
    def of(cls, sums: Sums) -> UsageSums:
        return cls.model_validate(sums, from_attributes=True)


class NodeUsageReply(UsageSums):
    """What one node execution used of one model, over all its attempts."""

    path: str
    iteration: list[int]
    generation: int
    model: str
    provider: str


class ExecutionUsage(Reply):
    """What an execution used, whole and by node execution and model."""

    total: UsageSums
    nodes: list[NodeUsageReply]


class UsageGroup(UsageSums):
    """One of the groups that were asked for: `key` is a workflow's or execution's id, a day, a model, ..."""

    key: str


class UsageReply(Reply):
    """Usage of the calls made from `start` up to `end`, by group; `truncated` says that there are more groups."""

    start: datetime
    end: datetime
    group_by: str
    groups: list[UsageGroup]
    truncated: bool
