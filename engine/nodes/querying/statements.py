"""SQL statements read just far enough: where they end, where `:name` stands for a value, and what they begin with.

Strings, quoted names and comments are told apart by the rules of each dialect, so that nothing in them counts. The
database is the judge of everything else: it gets the text as it stands, with its own placeholders for the values.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, cast

Dialect = Literal["postgresql", "mysql", "sqlite"]
DIALECTS: tuple[Dialect, ...] = ("postgresql", "mysql", "sqlite")
LONGEST_BYTES = 100_000
READING = frozenset({"select", "with", "values", "table", "show", "describe", "desc", "explain", "pragma"})
_CONTROL = frozenset(
    {"begin", "start", "commit", "rollback", "abort", "end", "savepoint", "release", "xa", "unlock", "use", "discard"}
)
_TRANSACTION_SETTING = re.compile(
    r"\s*(set\s+(session\s+|local\s+|global\s+|@@\S*)?(characteristics|transaction|autocommit)|prepare\s+transaction)",
    re.IGNORECASE,
)
_CHANGING = frozenset(
    {"insert", "update", "delete", "replace", "merge", "create", "alter", "drop", "truncate", "set", "grant", "revoke"}
)
_CHANGE = re.compile(r"\b((insert|replace|merge)\s+into|delete\s+from|update\s+\S+\s+set)\b", re.IGNORECASE)
_RETURNING = re.compile(r"\breturning\b", re.IGNORECASE)
_NAME = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_DOLLAR = re.compile(r"\$(?:[A-Za-z_]\w*)?\$")
_BEGINS = re.compile(r"[\s(]*([A-Za-z]+)")
_IN_LIST = re.compile(r"\b(?P<not>NOT\s+)?IN\s*\(\s*$", re.IGNORECASE)
_LIST_END = re.compile(r"\s*\)")
_QUOTES: Mapping[Dialect, str] = {"postgresql": "'\"", "mysql": "'\"`", "sqlite": "'\"`["}


@dataclass(frozen=True, slots=True)
class Bind:
    name: str


Piece = str | Bind


@dataclass(frozen=True, slots=True)
class Statement:
    """`pieces` is the text with the places of values; `keyword` the first word in lower case; `gives_rows` whether rows
    may come back, as far as the words tell."""

    pieces: tuple[Piece, ...]
    keyword: str
    dialect: Dialect
    gives_rows: bool

    @property
    def names(self) -> frozenset[str]:
        return frozenset(piece.name for piece in self.pieces if isinstance(piece, Bind))


@lru_cache(maxsize=512)
def read_statement(text: str, dialect: Dialect) -> Statement:
    """One statement.

    Raises: ValueError for none, for several, for what begins or ends a transaction, and for an open quote or comment.
    """
    if len(text.encode()) > LONGEST_BYTES:
        raise ValueError(f"the statement is longer than {LONGEST_BYTES} bytes")
    pieces, code = _Reader(text, dialect).read()
    begins = _BEGINS.match(code)
    if begins is None:
        raise ValueError("there is no statement")
    keyword = begins[1].lower()
    if keyword in _CONTROL or _TRANSACTION_SETTING.match(code) or (dialect == "mysql" and keyword == "lock"):
        raise ValueError(
            f"{keyword.upper()} is the node's own business: use operation transaction for several statements"
        )
    return Statement(tuple(pieces), keyword, dialect, _gives_rows(keyword, code))


def _gives_rows(keyword: str, code: str) -> bool:
    if _RETURNING.search(code):
        return True
    return keyword not in _CHANGING and not (keyword == "with" and _CHANGE.search(code))


def common_problem(text: str) -> str | None:
    """What is wrong with a statement whatever the database, None if it is fine for one of them."""
    problems: list[str] = []
    for dialect in DIALECTS:
        try:
            read_statement(text, dialect)
        except ValueError as error:
            problems.append(str(error))
    return problems[0] if len(problems) == len(DIALECTS) else None


def common_names(text: str) -> frozenset[str]:
    """Parameters that a statement has whatever the database."""
    found: list[frozenset[str]] = []
    for dialect in DIALECTS:
        try:
            found.append(read_statement(text, dialect).names)
        except ValueError:
            continue
    return frozenset.intersection(*found) if found else frozenset()


class _Reader:
    """Walks the text once."""

    def __init__(self, text: str, dialect: Dialect) -> None:
        self._text = text
        self._dialect: Dialect = dialect
        self._pieces: list[Piece] = []
        self._code: list[str] = []  # without comments and the insides of quotes
        self._begin = self._at = 0
        self._ended = False

    def read(self) -> tuple[list[Piece], str]:
        while self._at < len(self._text):
            self._step()
        if not self._ended:
            self._flush(self._at)
        return self._pieces, "".join(self._code)

    def _step(self) -> None:
        text, at = self._text, self._at
        comment = self._comment_end()
        if comment is not None:
            self._at = comment
            self._code.append(" ")
            return
        if self._ended:
            if not text[at].isspace() and text[at] != ";":
                raise ValueError("only one statement may be written: use operation transaction for several")
            self._at += 1
            return
        quoted = self._quote_end()
        if quoted is not None:
            self._code.append("''")
            self._at = quoted
        elif text[at] == ";":
            self._flush(at)
            self._ended, self._at = True, at + 1
        elif text[at] == ":":
            self._colon()
        else:
            self._refuse_foreign_placeholders()
            self._code.append(text[at])
            self._at += 1

    def _colon(self) -> None:
        text, at = self._text, self._at
        name = _NAME.match(text, at + 1)
        before = text[at - 1] if at else " "
        if text.startswith(("::", ":="), at):
            self._at += 2
        elif name is None or before.isalnum() or before in "_:":
            self._at += 1
        else:
            self._flush(at)
            self._pieces.append(Bind(name[0]))
            self._begin = self._at = name.end()
        self._code.append(":")

    def _flush(self, end: int) -> None:
        if end > self._begin:
            self._pieces.append(self._text[self._begin : end])
        self._begin = end

    def _refuse_foreign_placeholders(self) -> None:
        mark, dialect = self._text[self._at], self._dialect
        after = self._text[self._at + 1 : self._at + 2]
        if (
            (mark == "?" and dialect != "postgresql")
            or (mark == "$" and dialect != "mysql" and after.isdigit() and not self._within_word())
            or (mark in "@$" and dialect == "sqlite" and (after.isalpha() or after == "_"))
        ):
            raise ValueError(f"a value is written :name, and given by parameters; {mark}{after} is not understood")

    def _within_word(self) -> bool:
        before = self._text[self._at - 1] if self._at else " "
        return before.isalnum() or before in "_$"

    def _comment_end(self) -> int | None:
        text, at = self._text, self._at
        rest = text[at : at + 4]
        line = rest.startswith("--") and (self._dialect != "mysql" or not rest[2:3] or rest[2:3].isspace())
        if line or (rest.startswith("#") and self._dialect == "mysql"):
            end = text.find("\n", at)
            return len(text) if end < 0 else end + 1
        if not rest.startswith("/*"):
            return None
        if self._dialect == "mysql" and (rest.startswith("/*!") or rest == "/*M!"):
            raise ValueError("a comment that is run by some servers (/*! ... */) is not allowed")
        return self._block_end()

    def _block_end(self) -> int:
        depth, at = 1, self._at + 2
        while depth:
            end = self._text.find("*/", at)
            inner = self._text.find("/*", at) if self._dialect == "postgresql" else -1
            if end < 0:
                raise ValueError("a comment is never closed")
            depth, at = (depth + 1, inner + 2) if 0 <= inner < end else (depth - 1, end + 2)
        return at

    def _quote_end(self) -> int | None:
        text, at = self._text, self._at
        mark = text[at]
        if mark == "$" and self._dialect == "postgresql" and not self._within_word():
            tag = _DOLLAR.match(text, at)
            return None if tag is None else self._closed(text.find(tag[0], tag.end()), len(tag[0]))
        if mark not in _QUOTES[self._dialect]:
            return None
        if mark == "[":
            return self._closed(text.find("]", at), 1)
        return self._doubled_end(mark, self._has_backslashes(mark))

    def _has_backslashes(self, mark: str) -> bool:
        if self._dialect == "mysql":
            return mark != "`"
        before = self._text[max(self._at - 2, 0) : self._at]
        escape = before[-1:] in ("E", "e") and not (before[:-1].isalnum() or before[:-1] == "_")
        return self._dialect == "postgresql" and mark == "'" and escape

    def _doubled_end(self, mark: str, backslashes: bool) -> int:
        """Behind the closing quote; two of them are one in the text."""
        text, at = self._text, self._at + 1
        while at < len(text):
            if backslashes and text[at] == "\\":
                at += 2
            elif text[at] != mark:
                at += 1
            elif text[at + 1 : at + 2] == mark:
                at += 2
            else:
                return at + 1
        raise ValueError(f"a quote {mark} is never closed")

    def _closed(self, end: int, length: int) -> int:
        if end < 0:
            raise ValueError("a quote is never closed")
        return end + length


def driver_sql(statement: Statement, parameters: Mapping[str, Any]) -> tuple[str, tuple[Any, ...]]:
    """The statement with the driver's placeholders, and the values in their order.

    A list in `IN (:name)` stands for its members, none included.

    Raises: ValueError naming a parameter that is not given.
    """
    missing = sorted(statement.names - parameters.keys())
    if missing:
        raise ValueError(f"the parameter {missing[0]} is not given")
    return _Writer(statement, parameters).write()


class _Writer:
    def __init__(self, statement: Statement, parameters: Mapping[str, Any]) -> None:
        self._dialect, self._pieces, self._parameters = statement.dialect, statement.pieces, parameters
        self._text: list[str] = []
        self._values: list[Any] = []
        self._numbers: dict[str, int] = {}

    def write(self) -> tuple[str, tuple[Any, ...]]:
        for position, piece in enumerate(self._pieces):
            if isinstance(piece, str):
                # The driver of MySQL puts the values in by the % operator.
                self._text.append(piece.replace("%", "%%") if self._dialect == "mysql" else piece)
            else:
                self._bind(piece.name, self._is_list_end(position + 1))
        return "".join(self._text), tuple(self._values)

    def _is_list_end(self, position: int) -> bool:
        following = self._pieces[position] if position < len(self._pieces) else ""
        return isinstance(following, str) and _LIST_END.match(following) is not None

    def _bind(self, name: str, closes: bool) -> None:
        value = self._parameters[name]
        before = _IN_LIST.search(self._text[-1]) if closes and isinstance(value, list) and self._text else None
        if before is not None and self._dialect == "postgresql":
            # An array keeps the type of the column, even if it is empty.
            self._text[-1] = self._text[-1][: before.start()] + ("<> ALL (" if before["not"] else "= ANY (")
        elif before is not None:
            self._members(cast("list[Any]", value))
            return
        self._text.append(self._placeholder(name, value))

    def _members(self, members: list[Any]) -> None:
        if not members:
            self._text.append("SELECT NULL FROM (SELECT 1) AS no_rows WHERE 1 = 0")
            return
        mark = "?" if self._dialect == "sqlite" else "%s"
        self._text.append(", ".join([mark] * len(members)))
        self._values += members

    def _placeholder(self, name: str, value: Any) -> str:
        if self._dialect != "postgresql":
            self._values.append(value)
            return "?" if self._dialect == "sqlite" else "%s"
        if name not in self._numbers:
            self._values.append(value)
            self._numbers[name] = len(self._values)
        return f"${self._numbers[name]}"
