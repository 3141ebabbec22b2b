"""Logs of every process: one structured line an event, JSON for collectors or readable for people."""

from __future__ import annotations

import logging
import sys
from typing import Any

import structlog

# Chatty ones, and those that write headers of requests, with the secrets in them, at their lower levels.
QUIET = (
    "httpx2",
    "httpcore2",
    "asyncio",
    "uvicorn.access",
    "openai",
    "google_genai",
    "aiosmtplib",
)


def configure_logging(role: str, *, json_lines: bool | None = None, level: str = "INFO") -> None:
    """Send the standard library's logs and structlog's to standard error as lines bound to `role`.

    `json_lines` None means JSON unless standard error is a terminal.
    """
    as_json = not sys.stderr.isatty() if json_lines is None else json_lines
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
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
    root.setLevel(level)
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(role=role)
