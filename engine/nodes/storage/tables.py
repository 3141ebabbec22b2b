"""CSV text and rows of data.

Source: RFC 4180; cells that a spreadsheet would run as a formula are written with a leading apostrophe (OWASP).
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal, cast

from engine.nodes.casts import cast_value
from engine.nodes.json_kinds import kind_of
from engine.nodes.json_text import dump_json

ColumnType = Literal["int", "float", "bool", "date"]
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_PLAIN_NUMBER = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?")
# The module's default of 128 KiB would refuse cells that files do hold.
csv.field_size_limit(100_000_000)


def read_rows(text: str, *, delimiter: str, header: bool, types: Mapping[str, ColumnType]) -> list[Any]:
    """Rows as objects by the header row, or as lists without one. Cells stay text but for `types`; blank lines are left
    out; cells that a short row lacks are null; an empty cell of a typed column is null.

    Raises: ValueError naming the line and the column.
    """
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        lines = [(reader.line_num, row) for row in reader if row]
    except csv.Error as error:
        raise ValueError(f"line {reader.line_num}: {error}") from None
    if not header:
        if types:
            raise ValueError("types need a header row to name the columns")
        return [row for _, row in lines]
    return _objects(lines, types) if lines else []


def _objects(lines: list[tuple[int, list[str]]], types: Mapping[str, ColumnType]) -> list[Any]:
    columns = lines[0][1]
    twice = [name for name in dict.fromkeys(columns) if columns.count(name) > 1]
    if twice:
        raise ValueError(f"the header names {twice[0]!r} twice")
    unknown = [name for name in types if name not in columns]
    if unknown:
        raise ValueError(f"types names the column {unknown[0]}; the columns are {', '.join(columns[:20])}")
    width = len(columns)
    rows: list[Any] = []
    for line, cells in lines[1:]:
        if len(cells) > width:
            raise ValueError(f"line {line} has {len(cells)} cells and the header {width}")
        row: dict[str, Any] = dict(zip(columns, [*cells, *[None] * (width - len(cells))], strict=True))
        for name, kind in types.items():
            row[name] = _typed(row[name], kind, line, name)
        rows.append(row)
    return rows


def _typed(cell: str | None, kind: ColumnType, line: int, name: str) -> Any:
    if cell is None or not cell.strip():
        return None
    try:
        return cast_value(cell, kind)
    except ValueError as error:
        raise ValueError(f"line {line}, column {name}: {error}") from None


def write_rows(rows: Any, *, delimiter: str, header: bool, columns: Sequence[str] | None, safe_cells: bool) -> str:
    """Rows (objects, or lists of cells) as CSV. Columns are those given, else all keys in first-seen order; null is an
    empty cell, lists and objects are JSON.

    Raises: ValueError naming the row that is neither.
    """
    table = _table(rows, columns)
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter=delimiter, lineterminator="\n")
    names, lines = table
    if header and names:
        writer.writerow([_cell(name, safe_cells) for name in names])
    writer.writerows([_cell(value, safe_cells) for value in line] for line in lines)
    return out.getvalue()


def _table(rows: Any, columns: Sequence[str] | None) -> tuple[list[str], list[list[Any]]]:
    if not isinstance(rows, list):
        raise ValueError(f"CSV content must be a list of rows and is {kind_of(rows)}")
    items = cast("list[Any]", rows)
    for at, row in enumerate(items):
        if not isinstance(row, dict | list) or type(row) is not type(items[0]):
            raise ValueError(f"row {at} is {kind_of(row)}: rows are all objects, or all lists of cells")
    if items and isinstance(items[0], list):
        return list(columns or ()), cast("list[list[Any]]", items)
    objects = cast("list[dict[str, Any]]", items)
    names = list(columns) if columns is not None else [*dict.fromkeys(key for row in objects for key in row)]
    return names, [[row.get(name) for name in names] for row in objects]


def _cell(value: Any, safe: bool) -> Any:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | dict):
        value = dump_json(value).decode()
    if safe and isinstance(value, str) and value.startswith(_FORMULA) and not _PLAIN_NUMBER.fullmatch(value):
        return "'" + value
    return value
