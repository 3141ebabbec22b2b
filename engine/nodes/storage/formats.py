"""Files' content as data and back: text, JSON, NDJSON, CSV, bytes."""

from __future__ import annotations

import codecs
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, Literal, cast

from engine.nodes.binary import unwrap_bytes, wrap_bytes
from engine.nodes.json_kinds import kind_of
from engine.nodes.json_text import dump_json, parse_json
from engine.nodes.storage.tables import ColumnType, read_rows, write_rows

Format = Literal["text", "json", "ndjson", "csv", "bytes"]
_BY_SUFFIX: dict[str, Format] = {
    ".json": "json",
    ".ndjson": "ndjson",
    ".jsonl": "ndjson",
    ".csv": "csv",
    ".tsv": "csv",
    **dict.fromkeys((".bin", ".gz", ".zip", ".tar", ".zst", ".bz2", ".xz", ".7z"), "bytes"),
    **dict.fromkeys((".png", ".jpg", ".jpeg", ".gif", ".webp", ".ico", ".mp3", ".mp4", ".wav"), "bytes"),
    **dict.fromkeys((".pdf", ".xlsx", ".docx", ".pptx", ".parquet", ".sqlite", ".pickle", ".woff2"), "bytes"),
}


def format_by_suffix(path: str) -> Format:
    """Format by the file's suffix; text if it says nothing."""
    return _BY_SUFFIX.get(PurePosixPath(path).suffix.lower(), "text")


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """How content is laid out in a file."""

    format: Format
    encoding: str = "utf-8"
    delimiter: str = ","
    header: bool = True
    types: Mapping[str, ColumnType] = field(default_factory=dict[str, ColumnType])
    columns: Sequence[str] | None = None
    safe_cells: bool = True


def known_encoding(name: str) -> str:
    """Raises: ValueError if the name is no text encoding."""
    try:
        info = codecs.lookup(name)
        "".encode(name)
    except (LookupError, ValueError):
        raise ValueError(f"{name[:40]!r} is no text encoding: use utf-8, utf-16, latin-1, cp1252 ...") from None
    return info.name


def decode_content(data: bytes, layout: Layout) -> Any:
    """A file's bytes as data.

    Raises: ValueError saying where the content does not fit its format.
    """
    if layout.format == "bytes":
        return wrap_bytes(data)
    text = _decode(data, layout.encoding)
    if layout.format == "text":
        return text
    if layout.format == "json":
        return parse_json(text)
    if layout.format == "ndjson":
        return [_line(number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    return read_rows(text, delimiter=layout.delimiter, header=layout.header, types=layout.types)


def _decode(data: bytes, encoding: str) -> str:
    # A byte order mark is no part of the first cell's name.
    name = "utf-8-sig" if encoding == "utf-8" else encoding
    try:
        return data.decode(name)
    except UnicodeError as error:
        raise ValueError(
            f"the content is not {encoding} ({_place(error)}): name its encoding, or read it as bytes"
        ) from None


def _place(error: UnicodeError) -> str:
    return f"byte {error.start}" if isinstance(error, UnicodeDecodeError) else "malformed"


def _line(number: int, line: str) -> Any:
    try:
        return parse_json(line)
    except ValueError as error:
        raise ValueError(f"line {number}: {error}") from None


def encode_content(content: Any, layout: Layout) -> bytes:
    """Data as a file's bytes.

    Raises: ValueError saying what the content should be.
    """
    if layout.format == "bytes":
        return unwrap_bytes(content)
    if layout.format == "json":
        text = dump_json(content).decode() + "\n"
    elif layout.format == "ndjson":
        rows = cast("list[Any]", content) if isinstance(content, list) else [content]
        text = "".join(dump_json(row).decode() + "\n" for row in rows)
    elif layout.format == "csv":
        text = write_rows(
            content,
            delimiter=layout.delimiter,
            header=layout.header,
            columns=layout.columns,
            safe_cells=layout.safe_cells,
        )
    elif isinstance(content, str):
        text = content
    else:
        raise ValueError(f"text content must be text and is {kind_of(content)}: use format json")
    try:
        return text.encode(layout.encoding)
    except UnicodeError:
        raise ValueError(f"the content holds characters that {layout.encoding} does not have") from None
