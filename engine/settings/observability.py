"""Settings of what an operator sees: health, metrics, logs, traces."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

from engine.settings.section import SectionRules


class HealthSettings(SectionRules, BaseModel):
    """Where a worker or scheduler answers `/healthz` and `/readyz`; without a port nowhere, and 0 picks a free one. The
    API answers both at its own port."""

    host: str = "127.0.0.1"
    port: int | None = Field(default=None, ge=0, le=65535)


class MetricsSettings(SectionRules, BaseModel):
    """Where each process shows its metrics to Prometheus; without a port nowhere, and 0 picks a free one.

    `structforge up` gives the API this port, the scheduler the next one, and the workers those behind it.
    """

    host: str = "127.0.0.1"
    port: int | None = Field(default=None, ge=0, le=65535)
    sample_s: float = Field(default=15, gt=0)


class LogSettings(SectionRules, BaseModel):
    """Lines of processes on standard error; `auto` is readable on a terminal and JSON elsewhere."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "json", "console"] = "auto"


class TracingSettings(SectionRules, BaseModel):
    """`propagate_to`: hosts that HTTP calls of nodes tell their trace, as names or `*.example.org`; `*` is all."""

    propagate_to: list[str] = ["*"]
