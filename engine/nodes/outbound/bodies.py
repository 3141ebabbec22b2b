"""Request bodies: the bytes that are sent and their content type."""

from __future__ import annotations

from typing import Any, Literal, cast

import httpx2

from engine.nodes.binary import unwrap_bytes
from engine.nodes.json_kinds import kind_of
from engine.nodes.json_text import dump_json

BodyType = Literal["json", "form", "multipart", "text", "bytes"]


def encode_body(body: Any, body_type: BodyType) -> tuple[bytes, str | None]:
    """Content and content type.

    Raises: ValueError saying what the body should be.
    """
    if body_type == "json":
        return dump_json(body), "application/json"
    if body_type == "text":
        if not isinstance(body, str):
            raise ValueError(f"a text body must be text and is {kind_of(body)}")
        return body.encode(), "text/plain; charset=utf-8"
    if body_type == "bytes":
        return unwrap_bytes(body), "application/octet-stream"
    if not isinstance(body, dict):
        raise ValueError(f"a {body_type} body must be an object of fields and is {kind_of(body)}")
    fields = cast("dict[str, Any]", body)
    return _encoded(_form(fields)) if body_type == "form" else _encoded(_multipart(fields))


def pairs(fields: dict[str, Any], what: str) -> list[tuple[str, str]]:
    """`{name: scalar or list of scalars}` as pairs; null is left out, bools are `true` and `false`.

    Raises: ValueError naming the field whose value is an object.
    """
    found: list[tuple[str, str]] = []
    for name, value in fields.items():
        values = cast("list[Any]", value) if isinstance(value, list) else [value]
        found += [(name, _text(name, item, what)) for item in values if item is not None]
    return found


def _text(name: str, value: Any, what: str) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float):
        return str(value)
    raise ValueError(f"{what} {name} must be text, a number or a bool and is {kind_of(value)}")


def _form(fields: dict[str, Any]) -> httpx2.Request:
    values: dict[str, list[str]] = {}
    for name, value in pairs(fields, "the field"):
        values.setdefault(name, []).append(value)
    return httpx2.Request("POST", "http://body.invalid", data=values)


def _multipart(fields: dict[str, Any]) -> httpx2.Request:
    files: list[Any] = []
    for name, value in fields.items():
        for item in cast("list[Any]", value) if isinstance(value, list) else [value]:
            if isinstance(item, dict):
                files.append((name, _file(name, cast("dict[str, Any]", item))))
            elif item is not None:
                files.append((name, (None, _text(name, item, "the field").encode())))
    if not files:
        raise ValueError("a multipart body needs at least one field")
    return httpx2.Request("POST", "http://body.invalid", files=files)


def _file(name: str, item: dict[str, Any]) -> tuple[str, bytes, str]:
    unknown = set(item) - {"filename", "content", "content_type"}
    if unknown or "content" not in item:
        raise ValueError(f"the part {name} is written as {{filename, content, content_type}}")
    filename, kind = item.get("filename", name), item.get("content_type", "application/octet-stream")
    if not (isinstance(filename, str) and isinstance(kind, str)) or any(mark in kind for mark in "\r\n"):
        raise ValueError(f"filename and content_type of the part {name} must be text of one line")
    return filename, unwrap_bytes(item["content"]), kind


def _encoded(request: httpx2.Request) -> tuple[bytes, str | None]:
    return request.read(), request.headers.get("content-type")
