"""JSON text from outside, read strictly: no NaN, no lone surrogates, no nesting that would break who reads it next."""

from __future__ import annotations

import re
from typing import Any, cast

import orjson

DEEPEST = 100
_BRACKETS = re.compile(rb"[\[{]")


def parse_json(data: bytes | str) -> Any:
    """Parse JSON.

    Raises: ValueError if it is no JSON, or nested more than 100 deep.
    """
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise ValueError(f"not JSON: {error.msg} at line {error.lineno}, column {error.colno}") from None
    raw = data if isinstance(data, bytes) else data.encode()
    # Text with few brackets cannot be deep; only what might be is walked.
    if len(_BRACKETS.findall(raw, 0, 1 << 20)) > DEEPEST or len(raw) > 1 << 20:
        check_depth(value)
    return value


def check_depth(value: Any, deepest: int = DEEPEST) -> None:
    """Raises: ValueError if lists and objects are nested deeper than `deepest`."""
    level: list[Any] = [value]
    for _ in range(deepest + 1):
        level = [member for item in level for member in _members(item)]
        if not level:
            return
    raise ValueError(f"JSON nested more than {deepest} deep")


def _members(value: Any) -> list[Any]:
    members = cast("dict[str, Any]", value).values() if isinstance(value, dict) else value
    if not isinstance(value, dict | list):
        return []
    return [member for member in cast("Any", members) if isinstance(member, dict | list)]


def dump_json(value: Any) -> bytes:
    """Compact JSON.

    Raises: ValueError for what is no JSON data.
    """
    try:
        return orjson.dumps(value)
    except TypeError as error:
        raise ValueError(f"this cannot be written as JSON: {error}") from None
