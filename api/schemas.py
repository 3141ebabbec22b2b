"""Shapes that all resources share."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer

Item = TypeVar("Item")
Money = Annotated[Decimal, PlainSerializer(float, return_type=float, when_used="json")]


class Request(BaseModel):
    """A body that people send: an unknown member is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Reply(BaseModel):
    """A body that the API sends; clients must let unknown members pass, for some may be added."""

    # Every member is always sent, so the OpenAPI document may promise all of them.
    model_config = ConfigDict(frozen=True, json_schema_serialization_defaults_required=True)


class IssueReply(Reply):
    """One thing that is wrong, or a warning: what, where, and how to mend it."""

    code: str
    path: str
    message: str
    hint: str = ""
    severity: str = "error"


class Problem(Reply):
    """An error, as RFC 9457 has it; `code` is stable. Members that say nothing are left out."""

    model_config = ConfigDict(json_schema_serialization_defaults_required=False)

    type: str
    title: str
    status: int
    detail: str
    code: str
    issues: list[IssueReply] | None = None
    details: dict[str, Any] | None = None


class Page(Reply, Generic[Item]):
    """Part of a list; `next` is the `cursor` of the page behind it, null at the end."""

    items: list[Item]
    next: str | None = Field(default=None, description="Cursor of the next page; null at the end")

    @classmethod
    def model_parametrized_name(cls, params: tuple[Any, ...]) -> str:
        """`WorkflowReplyPage` for `Page[WorkflowReply]`: what generated clients call it."""
        return f"{params[0].__name__}Page"
