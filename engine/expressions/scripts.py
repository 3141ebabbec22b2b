"""How a script gives its result: the value of its last expression, or of `result` if that is null or missing."""

from __future__ import annotations

import ast
import warnings

from engine.errors import NodeError
from engine.expressions.faults import EXPRESSION_SYNTAX, expression_error

RESULT_AS_JSON = """
import json as _sf_json
if _sf_result is None:
    try:
        _sf_result = result
    except NameError:
        pass
_sf_json.dumps(_sf_result, allow_nan=False)
"""


def with_result_as_json(code: str) -> str:
    """The script, then a last expression that gives its result as JSON text; it is one run under one set of limits.

    Raises: NodeError EXPRESSION_ERROR if the script is no Python.
    """
    return f"{with_result(code)}\n{RESULT_AS_JSON}"


def with_result(code: str) -> str:
    """The script with the value of its last expression kept in `_sf_result`; null if it ends in no expression.

    Lines keep their numbers.
    Raises: NodeError EXPRESSION_ERROR if the script is no Python.
    """
    last = _last_statement(code)
    if not isinstance(last, ast.Expr):
        return f"{code}\n_sf_result = None"
    lines = code.encode().splitlines(keepends=True)
    first, final = last.lineno - 1, (last.end_lineno or last.lineno) - 1
    lines[final] = _inserted(lines[final], last.end_col_offset or 0, b")")
    lines[first] = _inserted(lines[first], last.col_offset, b"_sf_result = (")
    return b"".join(lines).decode()


def _last_statement(code: str) -> ast.stmt | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            body = ast.parse(code).body
    except SyntaxError as error:
        raise _refused(f"line {error.lineno}: {error.msg}") from None
    except (RecursionError, MemoryError, ValueError) as error:
        raise _refused(str(error) or "it is nested too deeply") from None
    return body[-1] if body else None


def _inserted(line: bytes, column: int, text: bytes) -> bytes:
    return line[:column] + text + line[column:]


def _refused(message: str) -> NodeError:
    return expression_error(f"the script is not valid: {message}", "", reason=EXPRESSION_SYNTAX)
