"""JSON for people: what fits on a line stands on one."""

from __future__ import annotations

import json
from typing import Any, cast

_STEP = 2


def folded(data: Any, width: int, indent: int = 0) -> str:
    """Valid JSON in lines of at most `width` where that is possible; `indent` is where the value begins."""
    flat = json.dumps(data, ensure_ascii=False)
    if len(flat) + indent < width or not data or not isinstance(data, dict | list):
        return flat
    inner = indent + _STEP
    if isinstance(data, dict):
        members = cast("dict[str, Any]", data).items()
        lines = [f"{json.dumps(key, ensure_ascii=False)}: {folded(value, width, inner)}" for key, value in members]
        return _block("{", lines, "}", indent)
    return _block("[", [folded(item, width, inner) for item in cast("list[Any]", data)], "]", indent)


def _block(opening: str, lines: list[str], closing: str, indent: int) -> str:
    separator = ",\n" + " " * (indent + _STEP)
    return f"{opening}\n{' ' * (indent + _STEP)}{separator.join(lines)}\n{' ' * indent}{closing}"
