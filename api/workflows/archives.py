"""What an upload holds: documents as text, out of JSON, YAML with several, or a ZIP; bounded before it is read."""

from __future__ import annotations

import io
import re
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

import orjson

from api.workflows.exporting import MANIFEST
from engine.errors import Issue, ValidationFailed

MAX_DOCUMENTS = 500
_SUFFIXES = (".yaml", ".yml", ".json")
# Two such marks may stand at the beginning of a line nowhere inside a document, not even in a block of text.
_MARK = re.compile(r"^(?:---|\.\.\.)(?=[ \t\r\n]|\Z)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Part:
    """One document of an upload: as text, or as the data that a JSON list holds."""

    source: str
    text: bytes
    name: str  # ends in the suffix that says how to read it
    folder: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()


def split_upload(data: bytes, kind: str, *, max_bytes: int) -> list[Part]:
    """The documents of an upload of a media type. Raises: ValidationFailed if it cannot be taken apart."""
    if kind == "application/zip":
        parts = _unzip(data, max_bytes)
    elif kind == "application/json" or data.lstrip()[:1] == b"[":
        parts = _split_json(data, "body.json")
    else:
        parts = _split_yaml(data, "body.yaml")
    if len(parts) > MAX_DOCUMENTS:
        raise _bad("DOCUMENT_TOO_LARGE", f"there are more than {MAX_DOCUMENTS} documents", "import them in parts")
    if not parts:
        raise _bad("DOCUMENT_SYNTAX", "there is no document in it", "send YAML, JSON or a ZIP with such files")
    return parts


def _split_json(data: bytes, name: str) -> list[Part]:
    if not data.lstrip().startswith(b"["):
        return [Part(name, data, "document.json")]
    try:
        items = orjson.loads(data)
    except ValueError:  # read again as a document, which says where the mistake is
        return [Part(name, data, "document.json")]
    return [Part(f"{name}#{n}", orjson.dumps(item), "document.json") for n, item in enumerate(items, start=1)]


def _split_yaml(data: bytes, name: str) -> list[Part]:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return [Part(name, data, "document.yaml")]
    pieces = list(_pieces(text))
    if len(pieces) == 1:
        return [Part(name, data, "document")]
    return [
        Part(f"{name}#{n} (line {line})", piece.encode(), "document.yaml")
        for n, (line, piece) in enumerate(pieces, start=1)
    ]


def _pieces(text: str) -> Iterator[tuple[int, str]]:
    """Documents of a YAML stream that hold anything but comments, each with the line that it begins at."""
    starts = [0, *(match.end() for match in _MARK.finditer(text))]
    ends = [*(match.start() for match in _MARK.finditer(text)), len(text)]
    line, counted = 1, 0
    for start, end in zip(starts, ends, strict=True):
        piece = text[start:end]
        line, counted = line + text.count("\n", counted, start), start
        if any(row.strip() and not row.lstrip().startswith(("#", "%")) for row in piece.splitlines()):
            yield line, piece


def _unzip(data: bytes, max_bytes: int) -> list[Part]:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = [info for info in archive.infolist() if not info.is_dir()]
            if len(names) > MAX_DOCUMENTS + 1:
                raise _bad("DOCUMENT_TOO_LARGE", f"the archive has over {MAX_DOCUMENTS} files", "import it in parts")
            return _read_files(archive, names, max_bytes)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
        raise _bad("DOCUMENT_SYNTAX", f"the archive cannot be read: {str(error)[:200]}", "send a plain ZIP") from None


def _read_files(archive: zipfile.ZipFile, infos: list[zipfile.ZipInfo], max_bytes: int) -> list[Part]:
    """Nothing is written to disk, and what is unpacked is counted while it is: headers may lie about sizes."""
    manifest: dict[str, dict[str, Any]] = {}
    parts: list[Part] = []
    left = max_bytes
    for info in sorted(infos, key=lambda info: (info.filename != MANIFEST, info.filename)):
        if info.filename != MANIFEST and not info.filename.lower().endswith(_SUFFIXES):
            raise _bad("DOCUMENT_SYNTAX", f"{_shown(info)} is no document", "leave only .yaml, .yml and .json files")
        with archive.open(info) as file:
            text = file.read(left + 1)
        left -= len(text)
        if left < 0:
            message = f"the archive unpacks to more than {max_bytes:,} bytes"
            raise _bad("DOCUMENT_TOO_LARGE", message, "import it in parts")
        if info.filename == MANIFEST:
            manifest = _read_manifest(text)
        else:
            parts += _file_parts(info, text, manifest.get(info.filename, {}))
    return parts


def _file_parts(info: zipfile.ZipInfo, text: bytes, entry: dict[str, Any]) -> list[Part]:
    split = _split_json if info.filename.lower().endswith(".json") else _split_yaml
    folder, tags = _texts(entry.get("folder")), _texts(entry.get("tags"))
    return [Part(part.source, part.text, part.name, folder, tags) for part in split(text, _shown(info))]


def _read_manifest(text: bytes) -> dict[str, dict[str, Any]]:
    try:
        entries = orjson.loads(text)["workflows"]
        return {str(entry["file"]): cast("dict[str, Any]", entry) for entry in entries}
    except (ValueError, KeyError, TypeError):
        raise _bad("DOCUMENT_SYNTAX", f"{MANIFEST} is not what an export writes", "leave it out") from None


def _texts(value: Any) -> tuple[str, ...]:
    return tuple(str(item) for item in cast("list[Any]", value)) if isinstance(value, list) else ()


def _shown(info: zipfile.ZipInfo) -> str:
    return "".join(char if char.isprintable() else "?" for char in info.filename[:100])


def _bad(code: str, message: str, hint: str) -> ValidationFailed:
    return ValidationFailed([Issue(code, "", message, hint)], "the upload is not valid")
