"""Settings of how people and programs are told of events."""

from __future__ import annotations

from pydantic import BaseModel, Field

from engine.settings.section import SectionRules


class NotificationSettings(SectionRules, BaseModel):
    """How notifications are sent: by which credentials, how often, and how long their rows are kept."""

    smtp_credential: str = "notifications-smtp"
    webhook_credential: str = "notifications-webhook"
    max_attempts: int = Field(default=8, ge=1, le=50)
    first_retry_s: float = Field(default=5, gt=0, le=3600)
    retention_days: int = Field(default=90, ge=1)
