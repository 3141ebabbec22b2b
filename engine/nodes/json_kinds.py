"""Kinds of JSON data and equality between them: `true` is not `1`, `1` is `1.0`, text is never a number."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, cast

_KINDS: dict[type, str] = {
    type(None): "null",
    bool: "bool",
    int: "number",
    float: "number",
    str: "text",
    list: "list",
    dict: "object",
}


def kind_of(value: Any) -> str:
    """null, bool, number, text, list or object."""
    return _KINDS.get(type(value), type(value).__name__)


def json_key(value: Any) -> Hashable:
    """A hashable that is equal for equal JSON data alone."""
    kind = type(value)
    if kind is str:
        return value
    if kind is bool:
        return ("bool", value)
    if kind is list:
        return ("list", tuple(json_key(item) for item in cast("list[Any]", value)))
    if kind is dict:
        members = cast("dict[str, Any]", value)
        return ("object", frozenset((key, json_key(item)) for key, item in members.items()))
    return value


def json_equal(left: Any, right: Any) -> bool:
    return json_key(left) == json_key(right)
