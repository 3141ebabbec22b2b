"""The log of one attempt of a node: its lines bounded, and without the secrets of its credential."""

from __future__ import annotations

import traceback
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import orjson

from engine.activities.logs import LogWriter
from engine.nodes.context import LogLevel
from engine.nodes.outbound.redaction import Redaction
from models.repositories.logs import LEVELS, LogLine
from models.tenancy import TenantId

MAX_LINES = 1000  # of one attempt
MAX_MESSAGE = 8000  # characters
MAX_FIELDS_BYTES = 8000
MAX_STACK = 6000  # characters: its end tells most


@dataclass(slots=True)
class NodeLog:
    """Where `context.log` goes. Lines below `level` are left out, and so is what comes after `MAX_LINES`."""

    writer: LogWriter | None
    tenant: TenantId
    execution_id: UUID
    node_path: str | None = None
    iteration: tuple[int, ...] = ()
    attempt: int = 1
    level: str = "info"
    secrets: Iterable[str] = ()
    _lines: int = field(default=0, init=False)
    _redaction: Redaction | None = field(default=None, init=False)
    _known: Iterable[str] | None = field(default=None, init=False)

    def __call__(self, level: LogLevel, message: str, fields: Mapping[str, Any]) -> None:
        """Take a line; whatever is in it, it does no harm to the node."""
        if self.writer is None or level not in LEVELS or LEVELS.index(level) < LEVELS.index(self.level):
            return
        self._lines += 1
        if self._lines > MAX_LINES:
            if self._lines == MAX_LINES + 1:
                self._write("warning", f"more than {MAX_LINES} lines of one attempt: the rest is left out", None)
            return
        self._write(level, message, dict(fields))

    def failed(self, error: Mapping[str, Any], next_in_s: float | None = None) -> None:
        """Note that the attempt failed; `next_in_s` until the next one, None if there is none."""
        text = f"{error.get('code')}: {error.get('message')}"
        facts = {name: error[name] for name in ("code", "details") if error.get(name)}
        if next_in_s is None:
            self("error", text, facts)
        else:
            self("warning", f"attempt {self.attempt} failed, the next in {next_in_s:g} s: {text}", facts)

    def defect(self, error: BaseException) -> None:
        """Note an error of StructForge itself, with its stack."""
        stack = "".join(traceback.format_exception(error))[-MAX_STACK:]
        self("error", f"a defect in StructForge: {type(error).__name__}: {error}", {"stack": stack})

    def _write(self, level: str, message: str, fields: dict[str, Any] | None) -> None:
        assert self.writer is not None
        if self._redaction is None or self._known is not self.secrets:  # a renewed token is another secret
            self._redaction, self._known = Redaction(self.secrets), self.secrets
        # Redacted before it is cut, for half a secret would not be recognised.
        text = _cut(self._redaction.text(str(message)[: 10 * MAX_MESSAGE]), MAX_MESSAGE)
        line = LogLine(
            self.tenant,
            self.execution_id,
            level,
            text,
            node_path=self.node_path,
            iteration=self.iteration,
            attempt=self.attempt,
            fields=_bounded(self._redaction, fields) if fields else None,
        )
        self.writer.write(line)


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[:limit]} …"


def _bounded(redaction: Redaction, fields: dict[str, Any]) -> dict[str, Any]:
    """Fields as JSON data within `MAX_FIELDS_BYTES`; what is no JSON becomes text."""
    try:
        raw = orjson.dumps(fields, default=str, option=orjson.OPT_NON_STR_KEYS)
    except (TypeError, ValueError, RecursionError):
        return {"unreadable": True}
    if len(raw) > 10 * MAX_FIELDS_BYTES:
        return {"too_large_bytes": len(raw)}
    clean = redaction.data(orjson.loads(raw))
    size = len(orjson.dumps(clean))
    return clean if size <= MAX_FIELDS_BYTES else {"too_large_bytes": size}
