"""What databases say, as node errors: which code, whether another attempt could help, and no value of a parameter."""

from __future__ import annotations

import re
import sqlite3
import ssl
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast

from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from engine.activities.clients.sql.targets import Target
from engine.errors import (
    ACCESS_DENIED,
    EXTERNAL_ERROR,
    INVALID_CONFIG,
    OUTCOME_UNKNOWN,
    RESOURCE_EXHAUSTED,
    TIMEOUT,
    NodeError,
)
from engine.nodes.outbound.redaction import Redaction

Cause = Literal[
    "connection",
    "certificate",
    "authentication",
    "permission",
    "constraint",
    "conflict",
    "timeout",
    "read_only",
    "full",
    "statement",
    "parameter",
]
_MEANING: Mapping[Cause, tuple[str, bool]] = {
    "connection": (EXTERNAL_ERROR, True),
    "certificate": (EXTERNAL_ERROR, False),
    "authentication": (ACCESS_DENIED, False),
    "permission": (ACCESS_DENIED, False),
    "constraint": (EXTERNAL_ERROR, False),
    "conflict": (EXTERNAL_ERROR, True),
    "timeout": (TIMEOUT, True),
    "read_only": (INVALID_CONFIG, False),
    "full": (RESOURCE_EXHAUSTED, True),
    "statement": (EXTERNAL_ERROR, False),
    "parameter": (INVALID_CONFIG, False),
}
_SQLSTATES: Mapping[str, Cause] = {
    "08": "connection", "57P01": "connection", "57P02": "connection", "57P03": "connection", "53300": "connection",
    "28": "authentication", "42501": "permission", "23": "constraint", "40": "conflict", "55P03": "conflict",
    "57014": "timeout", "25P03": "timeout", "25006": "read_only", "53": "full",
}  # fmt: skip
_MYSQL: Mapping[Cause, tuple[int, ...]] = {
    "connection": (1040, 1053, 1080, 1152, 1153, 1158, 1159, 1160, 1161, 1927, 2002, 2003, 2006, 2013, 2014, 2055),
    "certificate": (2026,),
    "authentication": (1045, 1698, 1251, 1862),
    "permission": (1044, 1142, 1143, 1227, 1370, 1410),
    "constraint": (1048, 1062, 1169, 1216, 1217, 1364, 1451, 1452, 1557, 1586, 3819, 4025),
    "conflict": (1020, 1205, 1213),
    "timeout": (1317, 1969, 3024),
    "read_only": (1290, 1792, 1836),
    "full": (1021, 1037, 1038, 1041, 1114),
}
_MYSQL_CODES: Mapping[int, Cause] = {number: cause for cause, numbers in _MYSQL.items() for number in numbers}
_SQLITE: Mapping[str, Cause] = {
    "SQLITE_BUSY": "conflict", "SQLITE_LOCKED": "conflict", "SQLITE_INTERRUPT": "timeout", "SQLITE_AUTH": "permission",
    "SQLITE_CONSTRAINT": "constraint", "SQLITE_READONLY": "read_only", "SQLITE_FULL": "full", "SQLITE_NOMEM": "full",
}  # fmt: skip
_NAMED = re.compile(r"(?:for key|CONSTRAINT|constraint failed:|Column|column|Field) ?[`'\"]?([\w.$, -]+)")
_SHORTEST_VALUE = 4
_LONGEST_MESSAGE = 500


@dataclass(slots=True)
class Progress:
    """How far a transaction has come, for what a broken connection means."""

    stage: Literal["connecting", "running", "committing", "done"] = "connecting"
    implicit_commit: bool = False  # MySQL: the statement at work commits by itself
    call: int = 0


def translate(error: BaseException, target: Target, progress: Progress, values: Iterable[Any]) -> NodeError:
    """A driver's error as a NodeError, without the values of parameters and the password."""
    cause, details, text = _read(error, target)
    text = _shown(text, values, target)
    code, retryable = _MEANING[cause]
    details = {"database": target.dialect, "host": target.host, "cause": cause, **details}
    if cause in ("connection", "timeout") and is_unknown(progress):
        return unknown_outcome(target, text, details)
    if cause == "read_only":
        text = f"the statement writes, and the node only reads: set read_only to false, or use execute ({text})"
    return NodeError(f"{target.dialect}: {text}", code=code, details=details, retryable=retryable)


def is_unknown(progress: Progress) -> bool:
    return progress.stage == "committing" or (progress.stage == "running" and progress.implicit_commit)


def unknown_outcome(target: Target, text: str, details: dict[str, Any]) -> NodeError:
    message = f"{target.dialect}: the connection broke while the transaction was committed, it may stand: {text}"
    return NodeError(message, code=OUTCOME_UNKNOWN, details=details)


def _read(error: BaseException, target: Target) -> tuple[Cause, dict[str, Any], str]:
    if isinstance(error, PoolTimeout):
        return "full", {}, "no connection became free"
    original = _original(error)
    if isinstance(original, ssl.SSLCertVerificationError):
        return "certificate", {}, "the server's certificate is not trusted"
    if isinstance(original, sqlite3.Error):
        return _read_sqlite(original)
    if target.dialect == "mysql" and isinstance(original.args[0] if original.args else None, int):
        return _read_mysql(original)
    state = getattr(original, "sqlstate", None)
    if isinstance(state, str):
        return _read_postgresql(original, state)
    return _read_client(original, error)


def _original(error: BaseException) -> BaseException:
    """The driver's own exception, below those of SQLAlchemy and its adapter."""
    original = cast("BaseException", error.orig) if isinstance(error, DBAPIError) and error.orig else error
    cause = original.__cause__
    if isinstance(cause, ssl.SSLCertVerificationError) or (cause is not None and "asyncpg" in type(cause).__module__):
        return cause
    return original


def _read_postgresql(error: BaseException, state: str) -> tuple[Cause, dict[str, Any], str]:
    cause = _SQLSTATES.get(state) or _SQLSTATES.get(state[:2]) or "statement"
    details: dict[str, Any] = {"code": state}
    for name in ("constraint_name", "table_name", "column_name"):
        value = getattr(error, name, None)
        if value:
            details[name.removesuffix("_name")] = str(value)
    text = str(getattr(error, "message", None) or error)
    # What a value should have been stands before the colon, the value itself behind it.
    return cause, details, text.partition(': "')[0] if state.startswith("22") else text


def _read_mysql(error: BaseException) -> tuple[Cause, dict[str, Any], str]:
    number, text = int(error.args[0]), str(error.args[1]) if len(error.args) > 1 else ""
    cause = _MYSQL_CODES.get(number, "statement")
    details: dict[str, Any] = {"code": number}
    if cause == "constraint":
        named = _NAMED.search(text)
        details |= {"constraint": named[1]} if named else {}
        text = re.sub(r"(Duplicate entry) '.*' (for key)", r"\1 \2", text, flags=re.DOTALL)
    elif number in (1064, 1149):
        # The driver puts values into the text, of which the server quotes a piece.
        line = re.search(r"at line \d+$", text)
        text = f"the statement has a syntax error {line[0] if line else ''}".rstrip()
    elif number in (1264, 1265, 1292, 1366, 1367, 1406, 1411):
        text = re.sub(r"(value|string)?:? '.*?' (for|to) ", r"\1 \2 ", text, flags=re.DOTALL)
    return cause, details, text


def _read_sqlite(error: sqlite3.Error) -> tuple[Cause, dict[str, Any], str]:
    name = getattr(error, "sqlite_errorname", None) or ""
    cause: Cause = "statement"
    for prefix, meaning in _SQLITE.items():
        cause = meaning if name.startswith(prefix) else cause
    if isinstance(error, sqlite3.InterfaceError) or "binding" in str(error):
        cause = "parameter"
    details: dict[str, Any] = {"code": name} if name else {}
    text = str(error)
    if cause == "constraint" and (named := _NAMED.search(text)):
        details["constraint"] = named[1].strip()
    if cause == "permission":
        text = f"{text}: a statement may not reach beyond its file, load code or change settings"
    if name == "SQLITE_CANTOPEN":
        text = "there is no such file, or it cannot be opened"
    return cause, details, text


def _read_client(original: BaseException, error: BaseException) -> tuple[Cause, dict[str, Any], str]:
    name, text = type(original).__name__, str(original)
    argument = re.search(r"query argument \$(\d+)(?: in element #(\d+) of executemany\(\) sequence)?", text)
    if argument is not None:
        return "parameter", {"position": int(argument[1])}, f"the value for ${argument[1]} does not fit its type"
    if isinstance(original, OverflowError | UnicodeError | TypeError):
        return "parameter", {}, "a parameter's value does not fit"
    lost = isinstance(original, OSError | EOFError | ConnectionError) or name in (
        "ConnectionDoesNotExistError",
        "InterfaceError",
        "IncompleteReadError",
    )
    if lost or (isinstance(error, DBAPIError) and error.connection_invalidated):
        return "connection", {}, f"the connection failed: {text or name}"
    return "statement", {}, text if isinstance(error, SQLAlchemyError) else name


def _shown(text: str, values: Iterable[Any], target: Target) -> str:
    """A message without the values that were sent, in quotes or long enough to be told from other words."""
    for value in sorted({str(value) for value in values if value not in (None, "")}, key=len, reverse=True):
        for form in {value, value.replace("\\", "\\\\").replace("'", "\\'"), value.replace("'", "''")}:
            text = text.replace(f"'{form}'", "'...'").replace(f'"{form}"', '"..."')
            text = text.replace(form, "...") if len(form) >= _SHORTEST_VALUE else text
    return Redaction(target.secrets).text(text)[:_LONGEST_MESSAGE]
