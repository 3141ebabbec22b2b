"""Values: node outputs as they travel through Temporal.

A value is a JSON-able dict in one of six tagged forms, so that user data can never be taken for a reference:

    {"v": data, "n": bytes}                          inline; `n` is the size of its JSON
    {"r": sha256, "n": bytes, "t": "json"}           stored in the object store, content-addressed per tenant
    {"l": [Value, ...]}   {"o": {key: Value}}        composites, built without reading what they hold
    {"c": [list Value, ...]}                         lists one after the other
    {"e": [list Value, index]}                       one element of a list that is not at hand

Everything here is pure; reading and writing stored values is the object store's job.
"""

from __future__ import annotations

import json
from typing import Any

Value = dict[str, Any]

NULL: Value = {"v": None, "n": 4}


def inline(data: Any, size: int | None = None) -> Value:
    """Wrap JSON data. `size` is the length of its JSON in bytes when the caller knows it."""
    return {"v": data, "n": len(json.dumps(data, separators=(",", ":"))) if size is None else size}


def stored(sha256: str, size: int, kind: str = "json") -> Value:
    """Refer to `size` bytes of the object store."""
    return {"r": sha256, "n": size, "t": kind}


def listing(items: list[Value]) -> Value:
    return {"l": items}


def mapping(members: dict[str, Value]) -> Value:
    return {"o": members}


def concatenation(lists: list[Value]) -> Value:
    """One list out of several, without reading them."""
    return {"c": lists}


def element(value: Value, index: int) -> Value:
    """Member `index` of a list value, without reading it.

    Raises: IndexError if an inline or composite list is shorter.
    """
    if "l" in value:
        return value["l"][index]
    if "v" in value:
        return inline(value["v"][index])
    return {"e": [value, index]}


def wire_size(value: Value) -> int:
    """Bytes that the value takes inside a Temporal payload, within a few percent."""
    if "v" in value:
        return value["n"] + 16
    for form in ("l", "c"):
        if form in value:
            return 8 + sum(wire_size(item) for item in value[form])
    if "o" in value:
        return 8 + sum(wire_size(item) + len(key) + 4 for key, item in value["o"].items())
    return 120


def is_resident(value: Value) -> bool:
    """Whether the value can be read without the object store."""
    if "v" in value:
        return True
    for form in ("l", "c"):
        if form in value:
            return all(is_resident(item) for item in value[form])
    if "o" in value:
        return all(is_resident(item) for item in value["o"].values())
    return False


def read(value: Value) -> Any:
    """The data of a resident value.

    Raises: KeyError if part of it is stored elsewhere.
    """
    if "v" in value:
        return value["v"]
    if "l" in value:
        return [read(item) for item in value["l"]]
    if "c" in value:
        return [item for part in value["c"] for item in read(part)]
    return {key: read(item) for key, item in value["o"].items()}
