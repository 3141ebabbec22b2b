"""What can be wrong with an expression, before it becomes an Issue (at save time) or a NodeError (at run time)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from engine.dag.nearest import Suggester
from engine.errors import EXPRESSION_ERROR, Issue, NodeError

EXPRESSION_SYNTAX = "EXPRESSION_SYNTAX"
EXPRESSION_TOO_LONG = "EXPRESSION_TOO_LONG"
UNKNOWN_NAME = "UNKNOWN_NAME"
DYNAMIC_NODE_REFERENCE = "DYNAMIC_NODE_REFERENCE"

MAX_SHOWN_CHARACTERS = 80


class ExpressionFault(Exception):
    """An expression that cannot be used; `code` is one of the codes above."""

    def __init__(self, code: str, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint

    def as_issue(self, path: str) -> Issue:
        return Issue(self.code, path, self.message, self.hint)

    def as_error(self, source: str) -> NodeError:
        return expression_error(self.message, source, reason=self.code, hint=self.hint)


def expression_error(message: str, source: str, **details: Any) -> NodeError:
    """The error of one evaluation. Details hold the source, paths, keys and types, never data: data may be secret."""
    kept = {key: value for key, value in details.items() if value not in ("", None)}
    if "hint" in kept:
        message = f"{message}; {kept['hint']}"
    return NodeError(message, code=EXPRESSION_ERROR, details={"expression": source, **kept})


def located(error: NodeError, location: str) -> NodeError:
    """The same error, saying also where in the template tree it arose."""
    if not location:
        return error
    details = {**error.details, "location": location}
    return NodeError(error.message, code=error.code, details=details, retryable=error.retryable)


def shown(text: object) -> str:
    """A name or key as messages show it, quoted and cut."""
    cut = str(text)
    return repr(cut if len(cut) <= MAX_SHOWN_CHARACTERS else cut[: MAX_SHOWN_CHARACTERS - 1] + "…")


def nearest(word: str, known: Iterable[str]) -> str:
    """A hint that names the nearest known word, or all of them when none is near and there are few."""
    names = sorted(known)
    few = f"known here: {', '.join(names)}" if 0 < len(names) <= 20 else ""
    return Suggester().hint(word, names, otherwise=few)
