"""Records as lines of CSV, JSON and NDJSON; CSV cells are safe in a spreadsheet."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from typing import Any, Literal

import orjson

Format = Literal["json", "ndjson", "csv"]
MEDIA_TYPES: Mapping[Format, str] = {
    "json": "application/json",
    "ndjson": "application/x-ndjson",
    "csv": "text/csv; charset=utf-8",
}
CHUNK_BYTES = 64 * 1024
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


def cell(value: Any) -> str:
    """A value as one cell: text as it is, anything else as JSON.

    Text that a spreadsheet would take for a formula gets an apostrophe before it; numbers cannot be one.
    """
    if value is None:
        return ""
    if isinstance(value, str):
        text = value
    elif isinstance(value, bool | int | float):
        return orjson.dumps(value).decode()
    else:
        text = orjson.dumps(value, default=str).decode().strip('"') if _is_word(value) else _json(value)
    return f"'{text}" if text.startswith(_FORMULA) else text


def csv_line(values: Sequence[Any]) -> bytes:
    """One line of RFC 4180."""
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\r\n").writerow([cell(value) for value in values])
    return buffer.getvalue().encode()


async def lines(
    records: AsyncIterator[Mapping[str, Any]], columns: Sequence[str], form: Format
) -> AsyncGenerator[bytes]:
    """The records in the format, in chunks of about `CHUNK_BYTES`; one record is in memory at a time."""
    buffer = bytearray(_head(columns, form))
    first = True
    async for record in records:
        buffer += _line(record, columns, form, first=first)
        first = False
        if len(buffer) >= CHUNK_BYTES:
            yield bytes(buffer)
            buffer.clear()
    if form == "json":
        buffer += b"\n]\n"
    yield bytes(buffer)


def _head(columns: Sequence[str], form: Format) -> bytes:
    return {"json": b"[", "ndjson": b"", "csv": csv_line(columns)}[form]


def _line(record: Mapping[str, Any], columns: Sequence[str], form: Format, *, first: bool) -> bytes:
    if form == "csv":
        return csv_line([record.get(column) for column in columns])
    raw = orjson.dumps(record, default=str)
    if form == "ndjson":
        return raw + b"\n"
    return (b"\n" if first else b",\n") + raw


def _is_word(value: Any) -> bool:
    return not isinstance(value, dict | list | tuple)


def _json(value: Any) -> str:
    return orjson.dumps(value, default=str).decode()
