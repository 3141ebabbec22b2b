"""What the end of an activity means for the node it ran."""

from __future__ import annotations

from typing import Any, cast

from temporalio.exceptions import ActivityError, ApplicationError, CancelledError, TimeoutError

from engine.dag.outcome import Outcome, error_dict, failed
from engine.errors import EXECUTION_FAILED, TIMEOUT


def outcome_of_failure(error: BaseException, attempt: int) -> Outcome:
    """The outcome that a failed activity stands for: the one it sent along, or what Temporal says."""
    cause = error.cause if isinstance(error, ActivityError) else error
    if isinstance(cause, CancelledError):
        return Outcome("cancelled", attempts=attempt)
    if isinstance(cause, ApplicationError) and cause.details and isinstance(cause.details[0], list):
        return Outcome.from_wire(cast("list[Any]", cause.details[0]))
    if isinstance(cause, TimeoutError):
        return failed(error_dict(TIMEOUT, "the node did not end in time", retryable=True), attempts=attempt)
    return failed(error_dict(EXECUTION_FAILED, f"the activity failed: {cause}"), attempts=attempt)
