"""Notifications: a tenant's rules of whom to tell, each message to a receiver, and which quotas were told of."""

from __future__ import annotations

from datetime import datetime
from typing import Any, cast
from uuid import UUID

from sqlalchemy import ARRAY, Boolean, DateTime, Index, Integer, Text, UniqueConstraint, text
from sqlmodel import Field, SQLModel

from models.tables.columns import created, document, moment, words

_TRUE, _FALSE, _ZERO = ({"server_default": text(value)} for value in ("true", "false", "0"))


class NotificationRule(SQLModel, table=True):
    """Whom to tell of `events`: failed, succeeded, cancelled, timed_out, waiting, quota_near.

    `workflow_id` and `tag` narrow it to some workflows. `targets` are mail addresses, or one URL. `template` is
    `{subject, text, html}` for mail, `{body}` for webhooks, or null for what the product says.
    """

    __tablename__ = cast("Any", "notification_rule")
    __table_args__ = (UniqueConstraint("tenant_id", "name", name="notification_rule_name_key"),)

    tenant_id: UUID = Field(primary_key=True)
    id: UUID = Field(primary_key=True)
    name: str = words()
    events: list[str] = Field(sa_type=ARRAY(Text), nullable=False)  # pyright: ignore[reportArgumentType]
    workflow_id: UUID | None = None
    tag: str | None = words(nullable=True)
    via: str = words()
    targets: list[str] = Field(sa_type=ARRAY(Text), nullable=False)  # pyright: ignore[reportArgumentType]
    credential: str | None = words(nullable=True)
    template: dict[str, Any] | None = document()
    include_output: bool = Field(default=False, sa_type=Boolean, sa_column_kwargs=_FALSE)
    enabled: bool = Field(default=True, sa_type=Boolean, sa_column_kwargs=_TRUE)
    created_by: str = words(default="")
    created_at: datetime = created()
    updated_at: datetime = created()


class Notification(SQLModel, table=True):
    """One message to one receiver about one message of the outbox.

    `status`: pending, sending, sent, or dead when it is given up. `facts` are what its text is made of. `attempts`
    count the tries of the `round`, which grows each time that a person has it sent again.
    """

    __tablename__ = cast("Any", "notification")
    __table_args__ = (
        UniqueConstraint("tenant_id", "outbox_id", "target", name="notification_once_key"),
        Index("notification_execution_idx", "tenant_id", "execution_id"),
        Index("notification_dead_idx", "tenant_id", "id", postgresql_where=text("status = 'dead'")),
    )

    tenant_id: UUID = Field(primary_key=True)
    id: UUID = Field(primary_key=True)
    outbox_id: UUID
    event: str = words()
    via: str = words()
    target: str = words()
    rule_id: UUID | None = None
    workflow_id: UUID | None = None
    execution_id: UUID | None = None
    approval_id: UUID | None = None
    facts: dict[str, Any] = document(nullable=False)
    template: dict[str, Any] | None = document()
    credential: str | None = words(nullable=True)
    include_output: bool = Field(default=False, sa_type=Boolean, sa_column_kwargs=_FALSE)
    status: str = words(default="pending")
    attempts: int = Field(default=0, sa_type=Integer, sa_column_kwargs=_ZERO)
    round: int = Field(default=0, sa_type=Integer, sa_column_kwargs=_ZERO)
    error: dict[str, Any] | None = document()
    created_at: datetime = created()
    updated_at: datetime = created()
    sent_at: datetime | None = moment()


class QuotaNotice(SQLModel, table=True):
    """That a quota is nearly used up has been told, in the period that began at `since`."""

    __tablename__ = cast("Any", "quota_notice")

    tenant_id: UUID = Field(primary_key=True)
    kind: str = words(primary_key=True)
    subject: str = words(primary_key=True)
    period: str = words(primary_key=True)
    since: datetime = Field(sa_type=cast("Any", DateTime(timezone=True)), nullable=False)
