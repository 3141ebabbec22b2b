"""Errors of StructForge: one root, stable codes.

StructForgeError
├── ValidationFailed        every issue of a document at once
├── NodeError               a node execution failed (goes into the record, may be retried by policy)
├── SystemFault             database, broker or object store out of reach: retried by Temporal, never counted
├── NotFound                no such thing for this tenant
├── Conflict                the thing is in a state that forbids it
├── AccessDenied            the caller may not do it
├── Unauthenticated         the caller is not known
├── TooLarge                the input passes a limit
└── ConfigurationError      a setting or a file is wrong
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

INVALID_CONFIG = "INVALID_CONFIG"
EXPRESSION_ERROR = "EXPRESSION_ERROR"
TIMEOUT = "TIMEOUT"
EXTERNAL_ERROR = "EXTERNAL_ERROR"
RATE_LIMITED = "RATE_LIMITED"
ACCESS_DENIED = "ACCESS_DENIED"
BLOCKED_ADDRESS = "BLOCKED_ADDRESS"
RESOURCE_EXHAUSTED = "RESOURCE_EXHAUSTED"
OUTPUT_TOO_LARGE = "OUTPUT_TOO_LARGE"
EXECUTION_FAILED = "EXECUTION_FAILED"
CANCELLED = "CANCELLED"
BUDGET_EXCEEDED = "BUDGET_EXCEEDED"
OUTCOME_UNKNOWN = "OUTCOME_UNKNOWN"
INVALID_ANSWER = "INVALID_ANSWER"
CONTENT_FILTERED = "CONTENT_FILTERED"
CREDENTIAL_UNREADABLE = "CREDENTIAL_UNREADABLE"
INTERRUPTED = "INTERRUPTED"


@dataclass(frozen=True, slots=True)
class Issue:
    """One thing that is wrong with a document: what, where, and how to mend it."""

    code: str
    path: str
    message: str
    hint: str = ""
    severity: Literal["error", "warning"] = "error"

    def as_dict(self) -> dict[str, str]:
        return asdict(self)


class StructForgeError(Exception):
    """Root of every error that StructForge raises on purpose."""

    code = "INTERNAL"

    def __init__(self, message: str, *, code: str | None = None, details: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or type(self).code
        self.details = details or {}


class ValidationFailed(StructForgeError):
    """A document has errors; `issues` holds all of them, in document order."""

    code = "INVALID_DOCUMENT"

    def __init__(self, issues: list[Issue], message: str = "the document is not valid") -> None:
        super().__init__(message, details={"issues": [issue.as_dict() for issue in issues]})
        self.issues = issues


class NodeError(StructForgeError):
    """A node execution failed; `retryable` says whether another attempt could help."""

    code = EXECUTION_FAILED

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        details: dict[str, Any] | None = None,
        retryable: bool = False,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message, code=code, details=details)
        self.retryable = retryable
        self.retry_after_s = retry_after_s

    def as_dict(self) -> dict[str, Any]:
        """The error as it is recorded and as expressions see it."""
        details = self.details
        if self.retry_after_s is not None:  # the next attempt waits for so long
            details = {**details, "retry_after_s": self.retry_after_s}
        return {"code": self.code, "message": self.message, "details": details, "retryable": self.retryable}


class SystemFault(StructForgeError):
    """Our own infrastructure did not answer; the work is repeated and no attempt is counted."""

    code = "SYSTEM_FAULT"


class NotFound(StructForgeError):
    code = "NOT_FOUND"


class Conflict(StructForgeError):
    code = "CONFLICT"


class AccessDenied(StructForgeError):
    code = ACCESS_DENIED


class Unauthenticated(StructForgeError):
    code = "UNAUTHENTICATED"


class TooLarge(StructForgeError):
    code = "TOO_LARGE"


class ConfigurationError(StructForgeError):
    code = "CONFIGURATION"
