"""Cuts a text at its `{{ … }}`.

The end of an expression is the first `}}` before which the text parses, so strings and mappings inside an
expression may hold `}}`. A backslash escapes: `\\{{` is a literal `{{`, `\\\\{{` a backslash before an expression.
"""

from __future__ import annotations

from engine.expressions.faults import EXPRESSION_SYNTAX, EXPRESSION_TOO_LONG, ExpressionFault
from engine.expressions.parse import MAX_EXPRESSION_BYTES, Expression, parse_expression

_MAX_ENDINGS_TRIED = 64

Part = str | Expression


def split_text(text: str) -> list[Part]:
    """Literal texts and expressions in order; no empty literals.

    Raises: ExpressionFault for the first expression that is none.
    """
    parts: list[Part] = []
    literal, position = "", 0
    while (start := text.find("{{", position)) >= 0:
        before = text[position:start]
        unescaped = before.rstrip("\\")
        backslashes = len(before) - len(unescaped)
        literal += unescaped + "\\" * (backslashes // 2)
        if backslashes % 2:
            literal, position = literal + "{{", start + 2
            continue
        expression, position = _read_expression(text, start + 2)
        parts += [literal, expression] if literal else [expression]
        literal = ""
    literal += text[position:]
    return [*parts, literal] if literal or not parts else parts


def _read_expression(text: str, start: int) -> tuple[Expression, int]:
    """The expression that begins at `start`, and where its `}}` ends."""
    first_fault: ExpressionFault | None = None
    end = start - 1
    for _ in range(_MAX_ENDINGS_TRIED):
        end = text.find("}}", end + 1)
        if end < 0:
            break
        try:
            return parse_expression(text[start:end]), end + 2
        except ExpressionFault as fault:
            if fault.code not in (EXPRESSION_SYNTAX, EXPRESSION_TOO_LONG):
                raise
            first_fault = first_fault or fault
        if end - start > MAX_EXPRESSION_BYTES:
            break
    raise first_fault or ExpressionFault(
        EXPRESSION_SYNTAX, "{{ is never closed", "close it with }}, or write \\{{ for the text"
    )
