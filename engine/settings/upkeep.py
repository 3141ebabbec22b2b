"""Settings of what keeps the installation in order."""

from __future__ import annotations

from pydantic import BaseModel, Field

from engine.settings.section import SectionRules


class RetentionSettings(SectionRules, BaseModel):
    """Days that things are kept after their end; 0 keeps them for good.

    Whole months of executions are dropped at once, so an execution stays up to a month longer; below 31 days they are
    deleted one by one as well. Executions with the label `keep` stay. Their details may go before them, never later.
    """

    executions_days: int = Field(default=180, ge=0)
    node_executions_days: int = Field(default=180, ge=0)
    logs_days: int = Field(default=90, ge=0)
    messages_days: int = Field(default=7, ge=1)
    events_days: int = Field(default=30, ge=1)
    ai_calls_days: int = Field(default=400, ge=0)
    idempotency_days: int = Field(default=30, ge=1)
    objects_days: float = Field(default=7, ge=0.01)
    months_ahead: int = Field(default=3, ge=1, le=24)


class UpkeepSettings(SectionRules, BaseModel):
    """How often the scheduler that leads compares and repairs, and forgets.

    Nothing is repaired that is younger than `grace_s`.
    """

    reconcile_every_s: float = Field(default=60, gt=0)
    grace_s: float = Field(default=60, ge=0)
    retain_every_s: float = Field(default=3600, gt=0)
