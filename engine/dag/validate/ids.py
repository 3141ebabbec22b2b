"""Ids are Python identifiers, so that expressions can name them, and unique over the whole document."""

from __future__ import annotations

import keyword
import unicodedata
from collections.abc import Iterator

from engine.dag.paths import join_path, path_order
from engine.dag.validate.outline import Outline
from engine.errors import Issue


def check_ids(outline: Outline) -> Iterator[Issue]:
    first: dict[str, str] = {}
    for text, path in sorted(_ids(outline), key=lambda place: path_order(place[1])):
        if (fault := identifier_fault(text, outline.limits.max_id_length)) is not None:
            yield Issue("INVALID_ID", path, f"the id {text[:80]!r} {fault}", "write letters, digits and _ only")
        if (place := first.setdefault(text, path)) != path:
            message = f"the id {text[:80]} is taken by {place}"
            yield Issue("DUPLICATE_ID", path, message, "ids are unique over the whole document: choose another")
    for vertex in outline.vertices():
        limit = outline.limits.max_name_length
        if vertex.node.name is not None and len(vertex.node.name) > limit:
            message = f"the name has {len(vertex.node.name)} characters, the limit is {limit}"
            yield Issue("NAME_TOO_LONG", join_path(vertex.path, "name"), message, "shorten it")


def _ids(outline: Outline) -> Iterator[tuple[str, str]]:
    for graph in outline.graphs:
        if graph.kind == "branch":
            yield graph.id, join_path(graph.path, "id")
        for vertex in graph.vertices:
            yield vertex.id, join_path(vertex.path, "id")


def identifier_fault(text: str, max_length: int) -> str | None:
    """Why `text` is no name that an expression can use, None if it is one."""
    if len(text) > max_length:
        return f"is longer than {max_length} characters"
    if not text.isidentifier():
        return "is no Python identifier"
    if keyword.iskeyword(text):
        return "is a keyword of Python"
    if unicodedata.normalize("NFKC", text) != text:
        return "reads as another name in Python, which unifies look-alike letters"
    return None
