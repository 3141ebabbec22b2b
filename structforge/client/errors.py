"""From problem+json to the errors of `engine.errors`, and those that only a client knows.

Conflict
├── VersionConflict    somebody saved meanwhile: read again, then save
├── QuotaExceeded      `retry_after_s` says when it frees, if that is known
└── RateLimited        `retry_after_s` says when to come again
SystemFault
└── Unreachable        nobody answered at all
"""

from __future__ import annotations

from typing import Any, cast

import httpx2

from engine.errors import (
    AccessDenied,
    Conflict,
    Issue,
    NotFound,
    StructForgeError,
    SystemFault,
    TooLarge,
    Unauthenticated,
    ValidationFailed,
)


class VersionConflict(Conflict):
    code = "VERSION_CONFLICT"


class QuotaExceeded(Conflict):
    code = "QUOTA_EXCEEDED"
    retry_after_s: float | None = None


class RateLimited(Conflict):
    code = "RATE_LIMITED"
    retry_after_s: float | None = None


class Unreachable(SystemFault):
    code = "UNREACHABLE"


_OF_CODE: dict[str, type[StructForgeError]] = {
    kind.code: kind for kind in (VersionConflict, QuotaExceeded, RateLimited)
}
_OF_STATUS: dict[int, type[StructForgeError]] = {
    401: Unauthenticated,
    403: AccessDenied,
    404: NotFound,
    409: Conflict,
    412: VersionConflict,
    413: TooLarge,
    429: Conflict,
    503: SystemFault,
}


def error_of(response: httpx2.Response) -> StructForgeError:
    """The error that an answer tells of, by its code, else by its status."""
    problem = _problem(response)
    code = None if problem.get("code") is None else str(problem["code"])
    message = str(problem.get("detail") or f"the server answered {response.status_code}")
    if problem.get("issues") and response.status_code in (400, 422):
        failure = ValidationFailed([_issue(raw) for raw in problem["issues"]], message)
        failure.code = str(code)
        return failure
    kind = _OF_CODE.get(code or "") or _OF_STATUS.get(response.status_code, StructForgeError)
    error = kind(message, code=code, details=problem.get("details") or {})
    if isinstance(error, QuotaExceeded | RateLimited):
        error.retry_after_s = retry_after_s(response)
    return error


def retry_after_s(response: httpx2.Response) -> float | None:
    """Seconds that `Retry-After` names; None if it names none, or a date."""
    text = response.headers.get("retry-after", "")
    return float(text) if text.isdecimal() else None


def unreachable(error: Exception) -> Unreachable:
    """The server did not answer at all."""
    reason = str(error) or type(error).__name__
    return Unreachable(f"the StructForge server did not answer: {reason}")


def _problem(response: httpx2.Response) -> dict[str, Any]:
    try:
        body = response.json()
    except ValueError:
        return {}
    return cast("dict[str, Any]", body) if isinstance(body, dict) else {}


def _issue(raw: dict[str, Any]) -> Issue:
    known = {name: str(raw.get(name, "")) for name in ("code", "path", "message", "hint")}
    return Issue(**known, severity="warning" if raw.get("severity") == "warning" else "error")
