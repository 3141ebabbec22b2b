"""Tool: read, write and arrange the tenant's files."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from fnmatch import fnmatchcase
from functools import partial
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from engine.errors import EXTERNAL_ERROR, INVALID_CONFIG, Issue, NodeError
from engine.nodes.base import NodeContext, NodeParams, NodeResult, ResultModel, node
from engine.nodes.known_values import known_value_issues
from engine.nodes.param_issues import structure_error
from engine.nodes.ports import FilePort, required
from engine.nodes.storage.archiving import unzip_file, zip_files
from engine.nodes.storage.formats import (
    Format,
    Layout,
    decode_content,
    encode_content,
    format_by_suffix,
    known_encoding,
)
from engine.nodes.storage.paths import split_path
from engine.nodes.storage.tables import ColumnType, read_rows

Operation = Literal["read", "write", "append", "list", "delete", "copy", "move", "zip", "unzip"]
_REPEATABLE = frozenset({"read", "write", "list", "delete", "copy", "zip", "unzip"})
_WITH_DESTINATION = ("copy", "move", "zip", "unzip")
_HEAD_BYTES = 65_536
_MOST_ENTRIES = 10_000


class FileOperationParams(NodeParams):
    """Read, write, append to, list, delete, copy, move, zip or unzip files of the tenant's own folder.

    Paths are relative to that folder; nothing outside can be reached, and links are not followed. A write replaces the
    file as one step. CSV cells are text unless `types` says otherwise; written cells that a spreadsheet would run as a
    formula get a leading apostrophe. Deleting what is not there is no error.

    `zip` packs the file or folder `file_path` into the archive `destination`, `unzip` unpacks the archive `file_path`
    into the folder `destination`. Both stop at `max_bytes` of unpacked content. An archive with links, passwords, paths
    that lead out of the folder or entries that are packed beyond belief is refused as a whole.
    """

    operation: Operation = Field(description="read, write, append, list, delete, copy, move, zip or unzip")
    file_path: str = Field(
        default="", max_length=1024, description="The file, or the folder to list or zip; such as data/in.csv"
    )
    destination: str | None = Field(
        default=None,
        min_length=1,
        max_length=1024,
        description="copy, move: the new path; zip: the archive; unzip: the folder",
    )
    content: Any = Field(
        default=None, description="write and append: text, data for json, rows for ndjson and csv, {base64}"
    )
    format: Format | None = Field(
        default=None, description="text, json, ndjson, csv or bytes; by the suffix if left out"
    )
    encoding: str = Field(default="utf-8", description="Text encoding; unzip: of names that are not UTF-8")
    delimiter: str | None = Field(default=None, min_length=1, max_length=1, description="csv: , (a tab for .tsv)")
    header: bool = Field(default=True, description="csv: whether the first row names the columns")
    types: dict[str, ColumnType] = Field(
        default_factory=dict[str, Any], description="csv: {column: int, float, bool or date}; empty cells are then null"
    )
    columns: list[str] | None = Field(default=None, min_length=1, description="csv: columns to write, in order")
    safe_cells: bool = Field(default=True, description="csv: disarm cells that begin with = + - @")
    recursive: bool = Field(default=False, description="list: whether folders below are listed too")
    pattern: str | None = Field(default=None, min_length=1, max_length=200, description="list and zip: such as *.csv")
    max_bytes: int = Field(default=50_000_000, ge=0, le=1_000_000_000, description="read, zip, unzip: most content")

    @field_validator("encoding", mode="after")
    @classmethod
    def _known(cls, value: str) -> str:
        return value if "{{" in value else known_encoding(value)

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.operation not in ("list", "zip") and not self.file_path:
            raise structure_error(f"{self.operation} needs file_path")
        if self.operation in _WITH_DESTINATION and self.destination is None:
            raise structure_error(f"{self.operation} needs destination")
        if self.operation in ("write", "append") and "content" not in self.model_fields_set:
            raise structure_error(f"{self.operation} needs content")
        return self

    def layout(self) -> Layout:
        tabbed = self.file_path.lower().endswith(".tsv")
        return Layout(
            format=self.format or format_by_suffix(self.file_path),
            encoding=self.encoding,
            delimiter=self.delimiter or ("\t" if tabbed else ","),
            header=self.header,
            types=self.types,
            columns=self.columns,
            safe_cells=self.safe_cells,
        )


class ListedFile(ResultModel):
    path: str = Field(description="Relative to the tenant's folder")
    bytes: int = Field(description="Size; 0 for a folder")
    modified_at: str = Field(description="ISO 8601, UTC")
    is_folder: bool = Field(description="Whether it is a folder")


class FileOperationResult(ResultModel):
    content: Any = Field(default=None, description="read: text, data, rows, or {base64}")
    file_path: str | None = Field(default=None, description="all but read and list: the file that was named")
    destination: str | None = Field(default=None, description="copy, move, zip, unzip: where it is now")
    bytes: int | None = Field(
        default=None, description="write, append, copy, move, zip: size of the file; unzip: of all files"
    )
    deleted: bool | None = Field(default=None, description="delete: whether there was a file")
    files: list[ListedFile] | None = Field(default=None, description="list: entries by path")
    packed: list[str] | None = Field(default=None, description="zip: names in the archive")
    unpacked: list[str] | None = Field(default=None, description="unzip: paths of the files that were written")


def _check(raw: Mapping[str, Any], path: str) -> list[Issue]:
    """Paths that stand in the document stay in the tenant's folder."""
    hint = "a path relative to the tenant's folder, such as data/in.csv"
    folders = {"file_path": ("list", "zip"), "destination": ("unzip",)}
    issues: list[Issue] = []
    for name, operations in folders.items():
        folder = raw.get("operation") in operations
        if raw.get(name) != "":  # that one is missing is told elsewhere
            check = partial(split_path, folder=folder)
            issues += known_value_issues(raw, path, name, str, check, hint)
    return issues


@node(
    "file_operation",
    category="tool",
    kind="io",
    icon="file",
    # A repeated append writes twice, and a repeated move finds nothing to move.
    idempotent=lambda params: params.get("operation") in _REPEATABLE,
    result=FileOperationResult,
    check=_check,
    examples=[
        {
            "title": "Read a table",
            "params": {"operation": "read", "file_path": "weather.csv", "types": {"temp_max": "float", "date": "date"}},
        },
        {
            "title": "Write JSON",
            "params": {
                "operation": "write",
                "file_path": "out/{{ execution.id }}.json",
                "content": "{{ nodes.total.output.groups }}",
            },
        },
        {
            "title": "Pack a folder",
            "params": {"operation": "zip", "file_path": "out", "destination": "out.zip", "pattern": "*.json"},
        },
        {"title": "List CSV files", "params": {"operation": "list", "file_path": "in", "pattern": "*.csv"}},
    ],
)
async def file_operation(params: FileOperationParams, context: NodeContext) -> NodeResult:
    files = required(context.ports.files, "files")
    return NodeResult(await _OPERATIONS[params.operation](params, context.tenant, files))


async def _read(params: FileOperationParams, tenant: str, files: FilePort) -> dict[str, Any]:
    data = await files.read(tenant, params.file_path, params.max_bytes)
    try:
        return {"content": await asyncio.to_thread(decode_content, data, params.layout())}
    except ValueError as error:
        raise NodeError(
            f"{params.file_path}: {error}", code=EXTERNAL_ERROR, details={"path": params.file_path}
        ) from None


async def _write(params: FileOperationParams, tenant: str, files: FilePort) -> dict[str, Any]:
    size = await files.write(tenant, params.file_path, await _encoded(params, params.layout()))
    return {"file_path": params.file_path, "bytes": size}


async def _append(params: FileOperationParams, tenant: str, files: FilePort) -> dict[str, Any]:
    layout = params.layout()
    if layout.format == "json":
        raise NodeError(f"{params.file_path}: one JSON value cannot be appended to: use ndjson", code=INVALID_CONFIG)
    if layout.format == "csv":
        layout = await _continued(params, tenant, files, layout)
    size = await files.append(tenant, params.file_path, await _encoded(params, layout))
    return {"file_path": params.file_path, "bytes": size}


async def _continued(params: FileOperationParams, tenant: str, files: FilePort, layout: Layout) -> Layout:
    """The layout of rows behind those that are there: their columns, and no second header."""
    head = await files.head(tenant, params.file_path, _HEAD_BYTES)
    if not head:
        return layout
    if not layout.header or layout.columns is not None:
        return replace(layout, header=False)
    first = head.decode(layout.encoding, errors="ignore").removeprefix("\ufeff").partition("\n")[0]
    try:
        names = read_rows(first, delimiter=layout.delimiter, header=False, types={})
    except ValueError as error:
        raise NodeError(f"{params.file_path}: the header cannot be read: {error}", code=EXTERNAL_ERROR) from None
    return replace(layout, header=False, columns=names[0] if names else None)


async def _encoded(params: FileOperationParams, layout: Layout) -> bytes:
    try:
        return await asyncio.to_thread(encode_content, params.content, layout)
    except ValueError as error:
        raise NodeError(f"content: {error}", code=INVALID_CONFIG, details={"parameter": "content"}) from None


async def _list(params: FileOperationParams, tenant: str, files: FilePort) -> dict[str, Any]:
    found = await files.list(tenant, params.file_path, recursive=params.recursive, max_entries=_MOST_ENTRIES)
    pattern = params.pattern or "*"
    kept = [entry for entry in found if fnmatchcase(entry.path.rpartition("/")[2], pattern)]
    return {
        "files": [
            {"path": e.path, "bytes": e.bytes, "modified_at": e.modified_at, "is_folder": e.is_folder} for e in kept
        ]
    }


async def _delete(params: FileOperationParams, tenant: str, files: FilePort) -> dict[str, Any]:
    return {"file_path": params.file_path, "deleted": await files.delete(tenant, params.file_path)}


async def _copy(params: FileOperationParams, tenant: str, files: FilePort) -> dict[str, Any]:
    size = await files.copy(tenant, params.file_path, params.destination or "")
    return {"file_path": params.file_path, "destination": params.destination, "bytes": size}


async def _move(params: FileOperationParams, tenant: str, files: FilePort) -> dict[str, Any]:
    size = await files.move(tenant, params.file_path, params.destination or "")
    return {"file_path": params.file_path, "destination": params.destination, "bytes": size}


async def _zip(params: FileOperationParams, tenant: str, files: FilePort) -> dict[str, Any]:
    destination, pattern = params.destination or "", params.pattern or "*"
    packed = await zip_files(files, tenant, params.file_path, destination, pattern=pattern, max_bytes=params.max_bytes)
    return {"file_path": params.file_path, **packed}


async def _unzip(params: FileOperationParams, tenant: str, files: FilePort) -> dict[str, Any]:
    unpacked = await unzip_file(
        files, tenant, params.file_path, params.destination or "", encoding=params.encoding, max_bytes=params.max_bytes
    )
    return {"file_path": params.file_path, **unpacked}


_OPERATIONS: dict[Operation, Callable[[FileOperationParams, str, FilePort], Awaitable[dict[str, Any]]]] = {
    "read": _read,
    "write": _write,
    "append": _append,
    "list": _list,
    "delete": _delete,
    "copy": _copy,
    "move": _move,
    "zip": _zip,
    "unzip": _unzip,
}
