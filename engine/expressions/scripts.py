"""How a script gives its result."""

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


def with_result(code: str) -> tuple[str, str]:
    """The script with its result kept, and a second snippet that gives that result as JSON text.

    The result is the value of a last expression; if there is none or it is null, that of `result`, else null.
    Lines keep their numbers.
    Raises: NodeError EXPRESSION_ERROR if the script is no Python.
    """
    last = _last_statement(code)
    if not isinstance(last, ast.Expr):
        return f"{code}\n_sf_result = None", RESULT_AS_JSON
    lines = code.encode().splitlines(keepends=True)
    first, final = last.lineno - 1, (last.end_lineno or last.lineno) - 1
    lines[final] = _inserted(lines[final], last.end_col_offset or 0, b")")
    lines[first] = _inserted(lines[first], last.col_offset, b"_sf_result = (")
    return b"".join(lines).decode(), RESULT_AS_JSON


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
