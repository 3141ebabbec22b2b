"""Domain errors as Temporal failures: the one place where the two meet inside activities."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from temporalio.exceptions import ApplicationError

from engine.contracts import SYSTEM_FAULT, WORKER_LEAVES
from engine.dag.outcome import Outcome
from engine.errors import SystemFault

CHILD_QUEUED = "ChildQueued"


def final_failure(outcome: Outcome) -> ApplicationError:
    """The node has failed for good; the interpreter reads the outcome out of the details."""
    return _failure(outcome, non_retryable=True)


def next_attempt(outcome: Outcome, delay_s: float) -> ApplicationError:
    """Temporal tries again after `delay_s`."""
    return _failure(outcome, non_retryable=False, next_retry_delay=timedelta(seconds=max(delay_s, 0.001)))


def _failure(outcome: Outcome, **options: Any) -> ApplicationError:
    error = outcome.error or {}
    return ApplicationError(
        str(error.get("message", "failed"))[:2000], outcome.to_wire(), type=str(error.get("code")), **options
    )


def system_fault(fault: SystemFault) -> ApplicationError:
    """Our own infrastructure did not answer: repeated without counting an attempt."""
    return ApplicationError(str(fault)[:2000], type=SYSTEM_FAULT)


def worker_leaves() -> ApplicationError:
    """The worker shuts down: another one takes the work at once."""
    return ApplicationError("the worker shuts down", type=WORKER_LEAVES, next_retry_delay=timedelta(milliseconds=50))


def child_queued(message: str, attempt: int) -> ApplicationError:
    """A child waits for a slot: asked for again after 0.2 to 2 s, and no worker is kept busy meanwhile."""
    delay_s = min(2.0, 0.2 * 1.5 ** min(attempt, 10))
    return ApplicationError(message, type=CHILD_QUEUED, next_retry_delay=timedelta(seconds=delay_s))
