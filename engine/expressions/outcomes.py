"""What comes out of the sandbox, told in words that hold no data."""

from __future__ import annotations

from typing import Any

from engine.errors import NodeError
from engine.expressions.faults import expression_error
from engine.expressions.jsondata import NotJson, explain_refusal, read_json
from engine.expressions.parse import Expression
from engine.expressions.program import NOT_JSON, missing_parameter
from engine.expressions.sandbox import Bounds, SandboxFailure

_SPEAKING = frozenset(
    [
        "TypeError",
        "AttributeError",
        "NameError",
        "UnboundLocalError",
        "ZeroDivisionError",
        "IndexError",
        "OverflowError",
        "RecursionError",
        "PermissionError",
        "SyntaxError",
        "NotImplementedError",
    ]
)
"""Errors whose text names types, names and operators alone. The text of others (`int("…")`) repeats the data."""


def outcome(expression: Expression, answer: tuple[str, ...], errors: dict[int, NodeError]) -> Any | NodeError:
    """The result or error of one job; `errors` belong to its unresolved paths."""
    if len(answer) == 2:
        return _error(expression, answer[0], answer[1], errors)
    try:
        return read_json(answer[0])
    except NotJson as reason:
        return expression_error(str(reason), expression.source, reason="not_json")


def _error(expression: Expression, kind: str, text: str, errors: dict[int, NodeError]) -> NodeError:
    if kind == NOT_JSON:
        return expression_error(explain_refusal(text), expression.source, reason="not_json")
    if kind in ("NameError", "UnboundLocalError"):
        position = missing_parameter(text)
        if position is not None and position in errors:
            return errors[position]
    return expression_error(_told(kind, text), expression.source, type=None if kind == "LookupError" else kind)


def _told(kind: str, text: str) -> str:
    if kind == "LookupError":  # raised by our own prelude
        return text
    if kind == "KeyError":
        return f"KeyError: there is no key {text[:80]}"
    if kind in _SPEAKING:
        return f"{kind}: {text[:200]}"
    return f"{kind} (its text may repeat data and is left out)"


def failure_of(expression: Expression, failure: SandboxFailure, bounds: Bounds) -> NodeError:
    """The error of a job that ended its whole run."""
    messages = {
        "timeout": f"the expression ran longer than {bounds.time_s:g} s",
        "memory": f"the expression needs more than {bounds.memory_bytes // (1024 * 1024)} MiB",
        "crash": "the expression ended the sandbox process",
        "error": _told(failure.kind, failure.message),
    }
    return expression_error(messages[failure.reason], expression.source, reason=failure.reason, type=failure.kind)
