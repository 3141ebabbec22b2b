"""Places in a document, written as `nodes[3].params.headers["x-id"]`, and the order in which they stand."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from pydantic import BaseModel

from engine.dag.spec import BranchSpec, EdgeSpec, NodeSpec, Settings, WorkflowSpec
from engine.errors import Issue

_PART = re.compile(r'\["(?:[^"\\]|\\.)*"\]|\[(\d+)\]|([^\W\d]\w*)')


def join_path(base: str, *parts: str | int) -> str:
    """`nodes[3]` and `("params", "x-id", 0)` as `nodes[3].params["x-id"][0]`."""
    text = base
    for part in parts:
        if isinstance(part, int):
            text += f"[{part}]"
        elif part.isidentifier():
            text += f".{part}" if text else part
        else:
            text += '["' + shown(part).replace('"', '\\"') + '"]'
    return text


def shown(text: str) -> str:
    """A stranger's text as it may stand in a path or message: short, and of printable characters."""
    return "".join(char if char.isprintable() else "\ufffd" for char in text[:80])


def sort_issues(issues: Iterable[Issue]) -> list[Issue]:
    """Issues in document order; those of one place keep the order in which they were found."""
    return sorted(issues, key=lambda issue: path_order(issue.path))


def path_order(path: str) -> list[int]:
    """A key that sorts paths as the places stand in a document; keys of no model stand last."""
    return [int(index) if index else _RANKS.get(name, _UNRANKED) for index, name in _PART.findall(path)]


def _field_names() -> Iterator[str]:
    models: tuple[type[BaseModel], ...] = (NodeSpec, WorkflowSpec, EdgeSpec, BranchSpec, Settings)
    for model in models:
        for name, field in model.model_fields.items():
            yield field.alias or name


_RANKS = {name: rank for rank, name in enumerate(dict.fromkeys(_field_names()))}
_UNRANKED = len(_RANKS)
