"""Messages between a worker and a plugin's process: JSON with a length before it, over a socket pair.

Data only: nothing that the other side sends is ever unpickled or evaluated.
"""

from __future__ import annotations

import asyncio
import base64
import json
import struct
from dataclasses import fields, is_dataclass
from typing import Any, cast

from engine.nodes.ports import FileEntry, HttpRequest, HttpResponse

MAX_FRAME_BYTES = 128 * 1024 * 1024
_LENGTH = struct.Struct(">I")
_BYTES, _OBJECT, _PAIRS = "$bytes", "$object", "$pairs"
_CLASSES: dict[str, type[Any]] = {item.__name__: item for item in (HttpRequest, HttpResponse, FileEntry)}


class FrameTooLarge(Exception):
    """A message passes `MAX_FRAME_BYTES`."""


def pack(message: dict[str, Any]) -> bytes:
    """Raises: FrameTooLarge; TypeError or ValueError for what is no JSON data."""
    data = json.dumps(_encode(message), separators=(",", ":"), allow_nan=False).encode("utf-8", "surrogatepass")
    if len(data) > MAX_FRAME_BYTES:
        raise FrameTooLarge(f"{len(data)} bytes")
    return _LENGTH.pack(len(data)) + data


async def read_frame(reader: asyncio.StreamReader) -> dict[str, Any]:
    """Raises: IncompleteReadError or ConnectionError at the end; FrameTooLarge."""
    (size,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
    if size > MAX_FRAME_BYTES:
        raise FrameTooLarge(f"{size} bytes")
    return cast("dict[str, Any]", _decode(json.loads(await reader.readexactly(size))))


def _encode(value: Any) -> Any:
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, bytes | bytearray):
        return {_BYTES: base64.b64encode(value).decode()}
    if isinstance(value, dict):
        members = {str(key): _encode(member) for key, member in cast("dict[Any, Any]", value).items()}
        # A key of the data itself that looks like one of ours must come back as it was.
        return {_PAIRS: list(members.items())} if any(key.startswith("$") for key in members) else members
    if isinstance(value, list | tuple):
        return [_encode(member) for member in cast("list[Any]", value)]
    if is_dataclass(value) and type(value).__name__ in _CLASSES:
        members = {field.name: _encode(getattr(value, field.name)) for field in fields(value)}
        return {_OBJECT: [type(value).__name__, members]}
    raise TypeError(f"a {type(value).__name__} is no JSON data")


def _decode(value: Any) -> Any:
    if isinstance(value, list):
        return [_decode(member) for member in cast("list[Any]", value)]
    if not isinstance(value, dict):
        return value
    tree = cast("dict[str, Any]", value)
    if _BYTES in tree:
        return base64.b64decode(tree[_BYTES])
    if _PAIRS in tree:
        return {key: _decode(member) for key, member in tree[_PAIRS]}
    if _OBJECT in tree:
        name, members = tree[_OBJECT]
        return _CLASSES[name](**{key: _decode(member) for key, member in members.items()})
    return {key: _decode(member) for key, member in tree.items()}
