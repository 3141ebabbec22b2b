"""What the bodies of the API have in common."""

from __future__ import annotations

from typing import Generic, TypeVar

from pydantic import BaseModel, ConfigDict

Item = TypeVar("Item")


class ReplyModel(BaseModel):
    """A body that the API sends. Members that this client does not know are let pass: newer servers send more."""

    model_config = ConfigDict(
        frozen=True, extra="ignore", populate_by_name=True, protected_namespaces=(), defer_build=True
    )


class RequestModel(BaseModel):
    """Part of a body that the API is sent. Members that are not set are left out."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", populate_by_name=True, protected_namespaces=(), defer_build=True
    )


class Page(ReplyModel, Generic[Item]):
    """Part of a list; `next` is the `cursor` of the page behind it, None at the end."""

    items: list[Item]
    next: str | None = None
