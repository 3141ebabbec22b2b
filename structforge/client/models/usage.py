"""Bodies of usage. Written by docs/generate.py from the OpenAPI document: change the API, not this file."""

from __future__ import annotations

from datetime import datetime

from structforge.client.models.shared import UsageSums
from structforge.client.shapes import ReplyModel


class NodeUsageReply(ReplyModel):
    """What one node execution used of one model, over all its attempts."""

    calls: int
    failed_calls: int
    input_tokens: int
    output_tokens: int
    images: int
    cost: float | None
    path: str
    iteration: list[int]
    generation: int
    model: str
    provider: str


class ExecutionUsage(ReplyModel):
    """What an execution used, whole and by node execution and model."""

    total: UsageSums
    nodes: list[NodeUsageReply]


class UsageGroup(ReplyModel):
    """One of the groups that were asked for: `key` is a workflow's or execution's id, a day, a model, ..."""

    calls: int
    failed_calls: int
    input_tokens: int
    output_tokens: int
    images: int
    cost: float | None
    key: str


class UsageReply(ReplyModel):
    """Usage of the calls made from `start` up to `end`, by group; `truncated` says that there are more groups."""

    start: datetime
    end: datetime
    group_by: str
    groups: list[UsageGroup]
    truncated: bool
