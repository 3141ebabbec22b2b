"""From errors to HTTP: problem+json (RFC 9457) with stable codes. The one place where that is done."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

import orjson
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from api.allowed_methods import methods_of
from api.rate_limits import RateLimited
from engine.dag.json_tree import too_deep
from engine.dag.limits import MAX_TREE_DEPTH
from engine.dag.paths import join_path
from engine.errors import (
    AccessDenied,
    Conflict,
    Issue,
    NodeError,
    NotFound,
    StructForgeError,
    SystemFault,
    TooLarge,
    Unauthenticated,
    ValidationFailed,
)

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_S = 1
_STATUS: dict[type[StructForgeError], int] = {
    ValidationFailed: 422,
    NotFound: 404,
    Conflict: 409,
    AccessDenied: 403,
    Unauthenticated: 401,
    TooLarge: 413,
    SystemFault: 503,
    NodeError: 422,
}
_STATUS_OF_CODE = {
    "VERSION_CONFLICT": 412,
    "QUOTA_EXCEEDED": 429,
    "RATE_LIMITED": 429,
    "RESOURCE_EXHAUSTED": 503,
    "WEBHOOK_LATE": 504,
    "WEBHOOK_FAILED": 502,
    "WEBHOOK_ANSWER": 502,
}
_CODE_OF_STATUS = {
    400: "BAD_REQUEST",
    404: "NOT_FOUND",
    405: "METHOD_NOT_ALLOWED",
    408: "REQUEST_TIMEOUT",
    413: "TOO_LARGE",
    415: "MEDIA_TYPE",
}
_log = logging.getLogger(__name__)


def install_error_handlers(app: FastAPI) -> None:
    """Answer every error of the application as problem+json."""
    app.add_exception_handler(StructForgeError, _on_own_error)
    app.add_exception_handler(RequestValidationError, _on_invalid_request)
    app.add_exception_handler(HTTPException, _on_http_error)
    app.add_exception_handler(Exception, _on_unknown_error)


def status_of(error: StructForgeError) -> int:
    """The HTTP status that an error is answered with."""
    if error.code in _STATUS_OF_CODE:
        return _STATUS_OF_CODE[error.code]
    return next((status for kind, status in _STATUS.items() if isinstance(error, kind)), 500)


def problem(
    status: int,
    code: str,
    detail: str,
    *,
    issues: list[Issue] | None = None,
    details: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """An error's response."""
    body: dict[str, Any] = {
        "type": f"urn:structforge:error:{code}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "code": code,
    }
    if issues is not None:
        body["issues"] = [issue.as_dict() for issue in issues]
    if details:
        body["details"] = dict(details)
    content = orjson.dumps(body, default=str)
    return Response(content, status, headers=dict(headers or {}), media_type=MEDIA_TYPE)


async def _on_own_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, StructForgeError)
    status = status_of(error)
    if status >= 500:
        _log.warning("%s: %s", error.code, error.message)
    if isinstance(error, ValidationFailed):
        return problem(status, error.code, error.message, issues=error.issues)
    if isinstance(error, RateLimited):
        waits = {"Retry-After": str(error.state.reset_s)}
        return problem(status, error.code, error.message, details=error.details, headers=waits)
    headers = {401: {"WWW-Authenticate": "Bearer"}, 503: {"Retry-After": str(RETRY_AFTER_S)}}.get(status)
    if error.details.get("frees_at"):
        left = datetime.fromisoformat(error.details["frees_at"]) - datetime.now(UTC)
        headers = {"Retry-After": str(max(1, math.ceil(left.total_seconds())))}
    return problem(status, error.code, error.message, details=error.details, headers=headers)


async def _on_invalid_request(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    found = error.errors()
    if any(item["type"] == "json_invalid" for item in found):
        reason = found[0].get("ctx", {}).get("error", "it does not parse")
        return problem(400, "INVALID_JSON", f"the body is no JSON: {reason}")
    return problem(422, "INVALID_REQUEST", "the request is not valid", issues=[_issue(item) for item in found])


async def _on_http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if isinstance(error.__cause__, RecursionError):  # of the parser, which FastAPI has turned into a 400
        return problem(422, "INVALID_REQUEST", "the request is not valid", issues=[too_deep("body", MAX_TREE_DEPTH)])
    code = _CODE_OF_STATUS.get(error.status_code, "HTTP_ERROR")
    headers = dict(error.headers or {})
    if error.status_code == 405 and (methods := methods_of(request.app, request.url.path)):
        headers["Allow"] = ", ".join(methods)  # of all routes of the address, and not of the first one alone
    return problem(error.status_code, code, str(error.detail), headers=headers)


async def _on_unknown_error(request: Request, error: Exception) -> Response:
    # The server logs the traceback; the caller learns nothing of our insides.
    _log.error("%s %s failed: %s", request.method, request.url.path, type(error).__name__)
    return problem(500, "INTERNAL", "an error inside StructForge; the server's log says more")


def _issue(item: Mapping[str, Any]) -> Issue:
    kind = str(item["type"])
    code = {"extra_forbidden": "UNKNOWN_KEY", "missing": "MISSING_KEY"}.get(kind, "INVALID_VALUE")
    message = "there is no such key" if kind == "extra_forbidden" else str(item["msg"]).removeprefix("Value error, ")
    return Issue(code, join_path("", *item["loc"]), message)
