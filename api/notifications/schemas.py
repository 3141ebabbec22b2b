"""Bodies of the routes of notifications."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal, Self
from uuid import UUID

import orjson
from pydantic import Field, StringConstraints, field_validator, model_validator

from api.schemas import Reply, Request
from engine.activities.notifications.facts import Event
from engine.activities.notifications.telling import APPROVERS
from engine.errors import NodeError
from engine.nodes.mailing.addresses import read_addresses
from engine.nodes.outbound.targets import parse_url

MAX_RECEIVERS = 50
MAX_TEMPLATE_BYTES = 65_536
Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]
Target = Annotated[str, StringConstraints(min_length=1, max_length=2000)]
Events = Annotated[list[Event], Field(min_length=1, max_length=6)]


class NotificationTemplate(Request):
    """Words of one's own. Each is a template; what is left out is in the product's words.

    Names in it: event, at, workflow, execution, error, approval, quota, link, output.
    """

    subject: str | None = Field(default=None, min_length=1, max_length=2000, description="Mail: the subject")
    text: str | None = Field(default=None, min_length=1, description="Mail: plain text")
    html: str | None = Field(default=None, min_length=1, description="Mail: HTML; values in it are escaped")
    body: Any = Field(default=None, description="Webhook: any JSON data")

    @model_validator(mode="after")
    def _is_small(self) -> Self:
        if len(orjson.dumps(self.model_dump())) > MAX_TEMPLATE_BYTES:
            raise ValueError(f"a template has at most {MAX_TEMPLATE_BYTES} bytes")
        return self


class NotificationRuleRequest(Request):
    """Whom to tell of what."""

    name: Name
    on: Events = Field(description="Events that it speaks of")
    workflow_id: UUID | None = Field(default=None, description="Only of this workflow")
    tag: str | None = Field(default=None, min_length=1, max_length=100, description="Only of workflows with this tag")
    via: Literal["email", "webhook"]
    to: list[Target] = Field(
        default_factory=list[str],
        max_length=MAX_RECEIVERS,
        description="E-mail: receivers; `approvers` stands for those who are asked",
    )
    url: Target | None = Field(default=None, description="Webhook: an absolute http(s) URL")
    credential: Name | None = Field(
        default=None, description="E-mail: one of type smtp; webhook: one of type hmac signs, others authenticate"
    )
    template: NotificationTemplate | None = None
    include_output: bool = Field(default=False, description="Whether the execution's output is told, up to 32 KB")
    enabled: bool = True

    @field_validator("on", mode="after")
    @classmethod
    def _each_once(cls, value: list[Event]) -> list[Event]:
        return list(dict.fromkeys(value))

    @field_validator("to", mode="after")
    @classmethod
    def _are_addresses(cls, value: list[str]) -> list[str]:
        for text in value:
            if text != APPROVERS and len(read_addresses(text, "to")) != 1:
                raise ValueError("to: one address a member of the list")
        return list(dict.fromkeys(value))

    @field_validator("url", mode="after")
    @classmethod
    def _is_url(cls, value: str | None) -> str | None:
        if value is not None:
            try:
                parse_url(value)
            except NodeError as error:
                raise ValueError(error.message) from None
        return value

    @model_validator(mode="after")
    def _says_where(self) -> Self:
        if self.via == "email" and (not self.to or self.url is not None):
            raise ValueError("an e-mail has receivers in `to`, and no url")
        if self.via == "webhook" and (self.url is None or self.to):
            raise ValueError("a webhook has a url, and no `to`")
        given = self.template
        if given is not None and self.via == "email" and given.body is not None:
            raise ValueError("the template of an e-mail has subject, text and html")
        if given is not None and self.via == "webhook" and (given.subject or given.text or given.html):
            raise ValueError("the template of a webhook has a body alone")
        return self


class NotificationRuleReply(Reply):
    """A rule. Times are UTC."""

    id: UUID
    name: str
    on: list[str]
    workflow_id: UUID | None
    tag: str | None
    via: str
    to: list[str]
    url: str | None
    credential: str | None
    template: dict[str, Any] | None
    include_output: bool
    enabled: bool
    created_by: str
    created_at: datetime
    updated_at: datetime


class NotificationReply(Reply):
    """A message to one receiver. Times are UTC."""

    id: UUID
    event: str
    via: str
    target: str = Field(description="The address; of a webhook its host alone, for its path may be a secret")
    rule_id: UUID | None = Field(description="The rule that sent it; null: the workflow's document")
    workflow_id: UUID | None
    execution_id: UUID | None
    approval_id: UUID | None
    status: str = Field(description="pending, sending, sent, or dead when it was given up")
    attempts: int = Field(description="Tries of this round")
    round: int = Field(description="How often a person had it sent again")
    error: str | None = Field(description="Why it failed last, or why the template gave way to the product's words")
    error_code: str | None
    created_at: datetime
    updated_at: datetime
    sent_at: datetime | None
