"""JSON for people: what fits on a line stands on one."""

from __future__ import annotations

import json
from typing import Any, cast

_STEP = 2


def folded(data: Any, width: int, indent: int = 0, taken: int = 0) -> str:
    """Valid JSON in lines of at most `width` where that is possible.

    `indent` is that of the line where the value begins, `taken` what stands before it on that line.
    """
    flat = json.dumps(data, ensure_ascii=False)
    if len(flat) + indent + taken < width or not data or not isinstance(data, dict | list):
        return flat
    inner = indent + _STEP
    if isinstance(data, dict):
        named = [(json.dumps(key, ensure_ascii=False), value) for key, value in cast("dict[str, Any]", data).items()]
        lines = [f"{key}: {folded(value, width, inner, len(key) + 2)}" for key, value in named]
        return _block("{", lines, "}", indent)
    return _block("[", [folded(item, width, inner) for item in cast("list[Any]", data)], "]", indent)


def _block(opening: str, lines: list[str], closing: str, indent: int) -> str:
    separator = ",\n" + " " * (indent + _STEP)
    return f"{opening}\n{' ' * (indent + _STEP)}{separator.join(lines)}\n{' ' * indent}{closing}"
