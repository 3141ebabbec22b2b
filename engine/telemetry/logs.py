"""Logs of every process: one structured line an event, JSON for collectors or readable for people."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, MutableMapping
from typing import Any, cast

import structlog

from engine.telemetry.context import bound

# Chatty ones, and those that write headers of requests, with the secrets in them, at their lower levels.
QUIET = (
    "httpx2",
    "httpcore2",
    "asyncio",
    "uvicorn.access",
    "openai",
    "google_genai",
    "aiosmtplib",
    "opentelemetry",
)
# What a line may have beside its event; docs/observability.md says what they mean.
FIELDS = (
    "timestamp", "level", "logger", "event", "role", "tenant", "execution_id", "node", "request_id", "trace_id",
    "span_id", "exception",
)  # fmt: skip

Event = MutableMapping[str, Any]


def configure_logging(
    role: str,
    *,
    json_lines: bool | None = None,
    level: str = "INFO",
    redact: Callable[[str], str] | None = None,
) -> None:
    """Send the standard library's logs and structlog's to standard error as lines bound to `role`.

    `json_lines` None means JSON unless standard error is a terminal. `redact` takes this process's own secrets out of
    every text of a line; those of the node that a line is about go anyway.
    """
    as_json = not sys.stderr.isatty() if json_lines is None else json_lines
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        add_bound,
        structlog.processors.format_exc_info,
        Redacted(redact),
    ]
    renderer: Any = structlog.processors.JSONRenderer() if as_json else structlog.dev.ConsoleRenderer()
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(role=role)


def add_bound(_logger: object, _method: str, event: Event) -> Event:
    """Name what the line is about: from the task that writes it, or from what Temporal's own lines say."""
    work = bound()
    if work is None:
        _add_temporal(event)
        return event
    for name in ("tenant", "execution_id", "node", "request_id", "trace_id"):
        if value := getattr(work, name):
            event.setdefault(name, value)
    if work.span:
        event.setdefault("span_id", f"{work.span:016x}")
    return event


def _add_temporal(event: Event) -> None:
    """Lines of Temporal's library carry the id of the Temporal workflow, which is made of tenant and execution."""
    record = event.get("_record")
    facts = getattr(record, "temporal_workflow", None) or getattr(record, "temporal_activity", None)
    if not isinstance(facts, dict):
        return
    tenant, mark, execution = str(cast("dict[str, Any]", facts).get("workflow_id", "")).partition(":")
    if mark:
        event["tenant"], event["execution_id"] = tenant, execution[:36]
        event["trace_id"] = execution[:36].replace("-", "")


class Redacted:
    """Takes secrets out of every text of a line, the stack of an error included."""

    def __init__(self, redact: Callable[[str], str] | None) -> None:
        self._redact = redact

    def __call__(self, _logger: object, _method: str, event: Event) -> Event:
        work = bound()
        own = None if work is None else work.redact
        known = [redact for redact in (own, self._redact) if redact is not None]
        if known:
            for name, value in event.items():
                if name not in ("_record", "_from_structlog", "timestamp", "level"):
                    event[name] = _clean(value, known)
        return event


def _clean(value: Any, known: list[Callable[[str], str]]) -> Any:
    if isinstance(value, str):
        for redact in known:
            value = redact(value)
        return value
    if isinstance(value, dict):
        return {key: _clean(member, known) for key, member in cast("dict[Any, Any]", value).items()}
    if isinstance(value, (list, tuple)):
        return [_clean(member, known) for member in cast("list[Any]", value)]
    if value is None or isinstance(value, (int, float)):
        return value
    return _clean(repr(value), known)  # as the renderer would write it
