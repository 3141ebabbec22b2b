"""Bodies of calls as data: JSON, forms, multipart, text, or bytes. Everything is bounded after it is decompressed."""

from __future__ import annotations

import asyncio
import codecs
import json
import zlib
from collections.abc import AsyncGenerator, Iterable
from typing import Any, cast
from urllib.parse import parse_qsl

from python_multipart.multipart import parse_options_header
from starlette.datastructures import Headers, UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException, MultiPartParser

from api.strict_json import faults
from engine.errors import TooLarge, ValidationFailed
from engine.nodes.binary import wrap_bytes
from engine.settings.api import HookSettings

MAX_ENCODINGS = 2
FILE_KEYS = frozenset({"filename", "content_type", "bytes", "content"})
_THREAD_BYTES = 65_536
# By the names that Python gives them; others can be made to take very long.
_CHARSETS = frozenset({"utf-8", "ascii", "iso8859-1", "iso8859-15", "cp1252", "utf-16"})
_GZIP, _ZLIB, _RAW = 31, 15, -15  # `wbits` of zlib


async def read_body(raw: bytes, headers: Headers, limits: HookSettings) -> Any:
    """The body as JSON data: `None` if there is none, a form as an object, bytes as `{base64}`.

    A file of a multipart body is `{filename, content_type, bytes, content: {base64}}`; what stands several times under
    one name is a list.
    Raises: HTTPException 400, 415; TooLarge; ValidationFailed with every issue of a JSON text.
    """
    encodings = [one.strip().lower() for one in headers.get("content-encoding", "").split(",")]
    body = await _off_loop(decompressed, raw, [one for one in encodings if one], limits.max_body_bytes)
    kind, options = parse_options_header(headers.get("content-type", ""))
    content_type = kind.decode("latin-1").lower()
    if not body and not content_type.startswith("multipart/"):
        return None
    if content_type == "application/json" or content_type.endswith("+json"):
        return await _off_loop(_json, body)
    if content_type == "application/x-www-form-urlencoded":
        return _form(body, limits)
    if content_type == "multipart/form-data":
        return await _multipart(body, options.get(b"boundary", b""), limits)
    if content_type.startswith("text/") or content_type in ("application/xml", "application/graphql"):
        return _text(body, options.get(b"charset", b"utf-8").decode("latin-1"))
    return wrap_bytes(body)


def decompressed(raw: bytes, encodings: list[str], cap: int) -> bytes:
    """The bytes before they were encoded. Raises: TooLarge past `cap` bytes; HTTPException 400, 415."""
    if len(encodings) > MAX_ENCODINGS:
        raise HTTPException(415, f"at most {MAX_ENCODINGS} content encodings are read")
    for encoding in reversed(encodings):
        if encoding in ("gzip", "x-gzip"):
            raw = _inflated(raw, _GZIP, cap)
        elif encoding == "deflate":
            raw = _inflated(raw, _ZLIB if raw[:1] and raw[0] & 0x0F == 8 else _RAW, cap)
        elif encoding != "identity":
            raise HTTPException(415, f"Content-Encoding {encoding[:40]!r} is not read: send gzip, deflate or neither")
    if len(raw) > cap:
        raise _too_large(cap)
    return raw


def _inflated(raw: bytes, wbits: int, cap: int) -> bytes:
    parts: list[bytes] = []
    room = cap + 1
    try:
        while raw:  # gzip may hold several members, one behind the other
            stream = zlib.decompressobj(wbits)
            part = stream.decompress(raw, room)
            parts.append(part)
            room -= len(part)
            if room <= 0 or stream.unconsumed_tail:
                raise _too_large(cap)
            if not stream.eof:
                raise HTTPException(400, "the compressed body ends too early")
            raw = stream.unused_data if wbits == _GZIP else b""
    except zlib.error:
        raise HTTPException(400, "the body is not compressed as Content-Encoding says") from None
    return b"".join(parts)


def _json(body: bytes) -> Any:
    try:
        data = json.loads(body.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        if issues := [issue for issue in faults(body) if issue.code in ("DOCUMENT_TOO_DEEP", "INVALID_TEXT")]:
            raise ValidationFailed(issues, "the body is not valid") from None
        raise HTTPException(400, f"the body is no JSON: {error}") from None
    if issues := faults(body):
        raise ValidationFailed(issues, "the body is not valid")
    return data


def _form(body: bytes, limits: HookSettings) -> dict[str, Any]:
    try:
        pairs = parse_qsl(
            body.decode("utf-8"), keep_blank_values=True, errors="strict", max_num_fields=limits.max_fields
        )
    except UnicodeDecodeError:
        raise HTTPException(400, "the form is not UTF-8") from None
    except ValueError:
        raise TooLarge(f"the form has more than {limits.max_fields} fields") from None
    return gathered(pairs)


async def _multipart(body: bytes, boundary: bytes, limits: HookSettings) -> dict[str, Any]:
    async def whole() -> AsyncGenerator[bytes]:
        yield body

    # Of its type the parser is told the boundary alone: a charset of the caller's choice is not looked up.
    headers = Headers({"content-type": f'multipart/form-data; boundary="{boundary.decode("latin-1")}"'})
    parser = MultiPartParser(
        headers,
        whole(),
        max_files=limits.max_files,
        max_fields=limits.max_fields,
        max_part_size=limits.max_body_bytes,
    )
    try:
        form = await parser.parse()
    except MultiPartException as error:
        raise HTTPException(400, f"the multipart body cannot be read: {error.message}") from None
    try:
        return gathered([(name, await _part(value)) for name, value in form.multi_items()])
    finally:
        await form.close()


async def _part(value: str | UploadFile) -> Any:
    if isinstance(value, str):
        return value
    data = await value.read()
    return {
        "filename": value.filename or "",
        "content_type": value.content_type or "application/octet-stream",
        "bytes": len(data),
        "content": wrap_bytes(data),
    }


def is_file(value: Any) -> bool:
    """Whether a member of a multipart body is a file."""
    return isinstance(value, dict) and cast("dict[str, Any]", value).keys() == FILE_KEYS


def gathered(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """Members by name; those of one name as a list."""
    found: dict[str, list[Any]] = {}
    for name, value in pairs:
        found.setdefault(name, []).append(value)
    return {name: values[0] if len(values) == 1 else values for name, values in found.items()}


def _text(body: bytes, charset: str) -> str:
    try:
        known = codecs.lookup(charset[:40]).name
    except (LookupError, ValueError):
        known = ""
    if known not in _CHARSETS:
        raise HTTPException(415, f"the charset {charset[:40]!r} is not read: send UTF-8")
    try:
        return body.decode(known)
    except UnicodeDecodeError:
        raise HTTPException(400, f"the body is not {known}") from None


async def _off_loop(work: Any, body: bytes, *more: Any) -> Any:
    """Done in a thread if it may take long."""
    return await asyncio.to_thread(work, body, *more) if len(body) > _THREAD_BYTES else work(body, *more)


def _too_large(cap: int) -> TooLarge:
    return TooLarge(f"the body is larger than {cap:,} bytes")
