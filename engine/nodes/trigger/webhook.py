"""Trigger: an HTTP call from outside."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal, Self

import re2
from pydantic import Field, StringConstraints, field_validator, model_validator

from engine.nodes.base import NodeContext, NodeParams, NodeResult, ResultModel, node
from engine.nodes.param_issues import structure_error
from engine.nodes.trigger_data import completed

Method = Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]
HeaderName = Annotated[str, StringConstraints(pattern=r"^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}$")]
_LONGEST_PATTERN = 500


class HeaderRule(NodeParams):
    """What a header of the call must be; every part that is given must hold."""

    equals: str | None = Field(default=None, max_length=1000, description="Exactly this text")
    one_of: list[str] | None = Field(default=None, min_length=1, max_length=100, description="One of these texts")
    pattern: str | None = Field(
        default=None, min_length=1, max_length=_LONGEST_PATTERN, description="An RE2 pattern that the whole text fits"
    )
    required: bool = Field(default=True, description="Whether a call without the header is refused")

    @field_validator("pattern", mode="after")
    @classmethod
    def _compiles(cls, value: str | None) -> str | None:
        if value is not None:
            try:
                re2.compile(value)
            except re2.error as error:
                raise ValueError(f"this is no RE2 pattern: {error}") from None
        return value


class WebhookParams(NodeParams):
    """Start an execution when somebody calls the workflow's address.

    A call that the rules refuse starts nothing. Whoever calls proves with the node's `credential` that he may.
    """

    path: str = Field(
        min_length=1,
        max_length=200,
        description="Where it is called: segments of letters, digits and . _ ~ - with / between them",
    )
    method: Method = Field(default="POST", description="HTTP method of the call")
    auth: Literal["none", "api_key", "bearer", "hmac"] = Field(
        default="none", description="How the caller proves itself; all but none need a credential of that type"
    )
    headers: dict[HeaderName, str | HeaderRule] = Field(
        default_factory=dict[str, Any],
        max_length=50,
        description="Rules that headers of the call must keep: a text it must equal, or {equals, one_of, pattern, "
        "required}",
    )
    response: Literal["immediate", "result", "node"] = Field(
        default="immediate",
        description="What the caller gets: at once the execution's id, its outputs, or the output of one node",
    )
    response_node: str | None = Field(
        default=None, min_length=1, max_length=100, description="response: node: id of the node that answers"
    )

    @field_validator("method", mode="before")
    @classmethod
    def _upper(cls, value: Any) -> Any:
        return value.upper() if isinstance(value, str) else value

    @field_validator("path", mode="after")
    @classmethod
    def _clean(cls, value: str) -> str:
        path = value.removeprefix("/")
        if re2.fullmatch(r"[A-Za-z0-9._~-]+(?:/[A-Za-z0-9._~-]+)*", path) is None:
            raise ValueError("a path is segments of letters, digits and . _ ~ - with one / between them")
        if {".", ".."} & set(path.split("/")):
            raise ValueError("a path may not have the segments . and ..")
        return path

    @model_validator(mode="after")
    def _answers(self) -> Self:
        if self.response == "node" and self.response_node is None:
            raise structure_error("response: node needs response_node")
        if self.response != "node" and self.response_node is not None:
            raise structure_error(f"response: {self.response} takes no response_node")
        return self


class WebhookData(ResultModel):
    """The call."""

    method: str = Field(description="HTTP method")
    path: str = Field(description="The path that was called")
    query: dict[str, str | list[str]] = Field(description="Query parameters; a repeated one is a list")
    headers: dict[str, str] = Field(description="Headers, names in lower case, without those that authenticate")
    body: Any = Field(default=None, description="JSON data, a form as an object, text, or bytes as {base64}")


def _by_hand(params: WebhookParams, given: Any, now: datetime) -> dict[str, Any]:
    known: Mapping[str, Any] = {"method": params.method, "path": params.path, "query": {}, "headers": {}, "body": None}
    return completed(WebhookData, known, given)


@node(
    "webhook",
    category="trigger",
    kind="trigger",
    ports=("out",),
    icon="webhook",
    result=WebhookData,
    reads_upstream=True,
    by_hand=_by_hand,
    examples=[
        {"title": "Orders from the shop", "params": {"path": "orders/new"}},
        {
            "title": "Signed calls of one kind, answered by a node",
            "params": {
                "path": "payments",
                "auth": "hmac",
                "headers": {"x-kind": {"one_of": ["paid", "refunded"]}},
                "response": "node",
                "response_node": "receipt",
            },
        },
    ],
)
async def webhook(params: WebhookParams, context: NodeContext) -> NodeResult:
    return NodeResult(context.upstream)
