"""Retry policies as numbers. Source: Temporal RetryPolicy (initial interval, coefficient, maximum interval)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from engine.dag.spec import Retry


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """`max_attempts` counts the first try; a coefficient of 1 is the fixed strategy."""

    interval_s: float
    coefficient: float
    max_interval_s: float | None
    max_attempts: int

    @classmethod
    def from_spec(cls, retry: Retry) -> RetryPolicy:
        return cls(
            interval_s=retry.interval.total_seconds(),
            coefficient=1.0 if retry.strategy == "fixed" else retry.backoff,
            max_interval_s=retry.max_interval.total_seconds() if retry.max_interval else None,
            max_attempts=retry.max_attempts,
        )

    def to_wire(self) -> list[Any]:
        return [self.interval_s, self.coefficient, self.max_interval_s, self.max_attempts]

    @classmethod
    def from_wire(cls, wire: list[Any]) -> RetryPolicy:
        return cls(wire[0], wire[1], wire[2], wire[3])


def next_delay_s(policy: RetryPolicy, attempt: int) -> float:
    """Seconds to wait after failed `attempt` (1-based); by default capped at 100 intervals, as Temporal does."""
    cap = policy.max_interval_s if policy.max_interval_s is not None else policy.interval_s * 100
    if policy.coefficient == 1.0:
        return min(policy.interval_s, cap)
    growth = policy.coefficient ** min(attempt - 1, 64)
    return min(policy.interval_s * growth, cap)
