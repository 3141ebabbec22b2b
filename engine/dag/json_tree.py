"""What may stand in a JSON tree: the check that everything from outside passes before anything walks it recursively."""

from __future__ import annotations

import math
from typing import Any, cast

from engine.dag.limits import MAX_TREE_DEPTH
from engine.dag.paths import join_path
from engine.errors import Issue

_Link = tuple[Any, "str | int"] | None
_LARGEST_INT = 2**63 - 1
_SMALLEST_INT = -(2**63)


def check_tree(root: Any, base: str = "", *, max_depth: int = MAX_TREE_DEPTH) -> list[Issue]:
    """Issues of data that is no JSON, holds numbers past 64 bits or NaN, or nests deeper than `max_depth`.

    Walks with a stack of its own, so no depth can exhaust the interpreter's. A tree that is too deep gives one issue
    and is not searched further.
    """
    issues: list[Issue] = []
    fault = None if isinstance(root, dict | list) else _leaf_fault(root)
    if fault is not None:
        issues.append(Issue(fault[0], base, *fault[1:]))
    stack: list[tuple[Any, int, _Link]] = [(root, 1, None)]
    while stack:
        value, depth, link = stack.pop()
        if depth > max_depth:
            issues.append(too_deep(_path(base, link), max_depth))
            return issues
        nested: list[tuple[Any, int, _Link]] = []
        for key, member in _children(value):
            if not isinstance(key, str | int) or (isinstance(value, dict) and not isinstance(key, str)):
                issues.append(Issue("INVALID_TEXT", _path(base, link), "a key is no text", "write keys as text"))
            elif isinstance(member, dict | list):
                nested.append((cast("Any", member), depth + 1, (link, key)))
            elif (fault := _leaf_fault(member) or _key_fault(key)) is not None:
                issues.append(Issue(fault[0], _path(base, (link, key)), *fault[1:]))
        stack.extend(reversed(nested))
    return issues


def too_deep(path: str, max_depth: int) -> Issue:
    return Issue(
        "DOCUMENT_TOO_DEEP",
        path,
        f"the data nests deeper than {max_depth} levels",
        "flatten it; a deep graph of loops can be split into workflows that call each other",
    )


def _children(value: Any) -> Any:
    if isinstance(value, dict):
        return cast("dict[Any, Any]", value).items()
    if isinstance(value, list):
        return enumerate(cast("list[Any]", value))
    return ()


def _key_fault(key: Any) -> tuple[str, str, str] | None:
    return _text_fault(key) if isinstance(key, str) else None


def _leaf_fault(value: Any) -> tuple[str, str, str] | None:
    """Code, message and hint of a scalar that JSON, PostgreSQL or another reader could not hold."""
    if value is None or isinstance(value, bool):
        return None
    if isinstance(value, str):
        return _text_fault(value)
    if isinstance(value, int):
        inside = _SMALLEST_INT <= value <= _LARGEST_INT
        return None if inside else ("INVALID_NUMBER", "the number does not fit into 64 bits", "write it as a text")
    if isinstance(value, float):
        finite = math.isfinite(value)
        return None if finite else ("INVALID_NUMBER", "NaN and infinity are no JSON numbers", "write null or a text")
    return ("INVALID_TEXT", f"{type(value).__name__} is no JSON type", "write a text, number, list or mapping")


def _text_fault(text: str) -> tuple[str, str, str] | None:
    if "\0" in text:
        return ("INVALID_TEXT", "the text holds a NUL character, which PostgreSQL cannot store", "take it out")
    if not text.isascii() and any("\ud800" <= char <= "\udfff" for char in text):
        return ("INVALID_TEXT", "the text holds half of a surrogate pair", "write the whole character")
    return None


def _path(base: str, link: _Link) -> str:
    parts: list[str | int] = []
    while link is not None:
        link, part = link
        parts.append(part)
    return join_path(base, *reversed(parts))
