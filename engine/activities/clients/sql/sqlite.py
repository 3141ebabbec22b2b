"""SQLite: one file, guarded from inside by an authorizer, so that no statement reaches beyond it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any

import re2
from sqlalchemy import Connection

_READS = frozenset({sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE})
_NEVER = frozenset({sqlite3.SQLITE_ATTACH, sqlite3.SQLITE_DETACH})
_LOADS = frozenset({"load_extension", "readfile", "writefile", "edit", "fts3_tokenizer"})
# Pragmas that only tell; those of the second group take what they ask about.
_TELLING = frozenset(
    {
        "application_id",
        "collation_list",
        "compile_options",
        "data_version",
        "database_list",
        "encoding",
        "freelist_count",
    }
    | {"function_list", "journal_mode", "page_count", "page_size", "schema_version", "table_list", "user_version"}
    | {"read_uncommitted"}  # SQLAlchemy asks for it
)
_ASKING = frozenset(
    {"foreign_key_check", "foreign_key_list", "index_info", "index_list", "index_xinfo", "integrity_check"}
    | {"quick_check", "table_info", "table_xinfo"}
)
_LONGEST_VALUE_BYTES = 100_000_000
_DEEPEST_EXPRESSION = 200
_OPERATIONS_BETWEEN_CHECKS = 5_000


def prepare(connection: sqlite3.Connection, read_only: bool, must_stop: Callable[[], bool]) -> None:
    """Settings of a new connection, before its guard: transactions are ours, the schema's own functions stay inside,
    and every statement ends itself once `must_stop` says so."""
    connection.isolation_level = None
    connection.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _LONGEST_VALUE_BYTES)
    connection.setlimit(sqlite3.SQLITE_LIMIT_EXPR_DEPTH, _DEEPEST_EXPRESSION)
    for pragma in ("trusted_schema = OFF", "foreign_keys = ON", "temp_store = MEMORY", "cell_size_check = ON"):
        connection.execute(f"PRAGMA {pragma}")
    if read_only:
        connection.execute("PRAGMA query_only = ON")
    connection.set_progress_handler(must_stop, _OPERATIONS_BETWEEN_CHECKS)
    connection.set_authorizer(authorizer(read_only))


def authorizer(read_only: bool) -> Callable[..., int]:
    """What SQLite asks for each thing that a statement would do."""

    def authorize(action: int, first: str | None, second: str | None, database: str | None, trigger: str | None) -> int:
        if action in _NEVER or (action == sqlite3.SQLITE_FUNCTION and (second or "").lower() in _LOADS):
            return sqlite3.SQLITE_DENY
        if action == sqlite3.SQLITE_PRAGMA:
            return sqlite3.SQLITE_OK if _may_ask((first or "").lower(), second) else sqlite3.SQLITE_DENY
        allowed = not read_only or action in _READS or action == sqlite3.SQLITE_TRANSACTION
        return sqlite3.SQLITE_OK if allowed else sqlite3.SQLITE_DENY

    return authorize


def _may_ask(pragma: str, argument: str | None) -> bool:
    return pragma in _ASKING or (pragma in _TELLING and argument is None)


def begin(connection: Connection, read_only: bool) -> Connection:
    """Begin a transaction; one that writes waits for its turn here, not in its middle."""
    connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")
    return connection


def replace_functions(connection: Any, record: Any) -> None:
    """SQLAlchemy gives every connection a REGEXP by Python's `re`, which a pattern can keep busy for ever."""
    connection.create_function("regexp", 2, _matches)


def _matches(pattern: str, text: str | None) -> bool | None:
    if text is None:
        return None
    try:
        return re2.search(str(pattern), str(text)) is not None
    except re2.error:
        raise ValueError("not a regular expression") from None


def file_uri(path: str, read_only: bool) -> str:
    """The file for sqlite3, made if it is written to and not there."""
    encoded = "".join(_escaped(character) for character in path)
    return f"file:{encoded}?mode={'rw' if read_only else 'rwc'}"


def _escaped(character: str) -> Any:
    return f"%{ord(character):02x}" if character in "%?#" else character
