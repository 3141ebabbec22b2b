"""Plain paths: `nodes.fetch.output.body.orders[0]`, resolved directly with no interpreter.

Null stays null only from what may rightly not be there: `nodes.<id>.<field>` of a node that did not run (or a port
that did not emit), and `last` before the first pass. Everywhere else a missing key, an index past the end or a
null on the way is an error that names the path and the keys there are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

from engine.errors import NodeError
from engine.expressions.faults import expression_error, shown
from engine.expressions.names import name_hint

MAX_SHOWN_KEYS = 20

Step = str | int


@dataclass(frozen=True)
class Path:
    """A top-level name and the keys and indexes that follow it."""

    root: str
    steps: tuple[Step, ...]

    @cached_property
    def text(self) -> str:
        return self.root + "".join(_step_text(step) for step in self.steps)

    def upto(self, length: int) -> str:
        """The path as text with only its first `length` steps."""
        return self.root + "".join(_step_text(step) for step in self.steps[:length])

    @cached_property
    def nullable_steps(self) -> int | None:
        """How many steps lead to a value that may rightly be absent; None when there is none such."""
        if self.root == "last":
            return 0
        if self.root == "nodes" and len(self.steps) >= 2:
            return 3 if self.steps[1] == "ports" else 2
        return None


def resolve(path: Path, scope: Mapping[str, Any], source: str = "") -> Any:
    """The data at `path`.

    Raises: NodeError EXPRESSION_ERROR with `path`, `keys` (at most 20) and `expression` in its details.
    """
    try:
        value = scope[path.root]
        for step in path.steps:
            value = value[step]
    except (KeyError, IndexError, TypeError):
        return _resolve_slowly(path, scope, source or path.text)
    return value


def _resolve_slowly(path: Path, scope: Mapping[str, Any], source: str) -> Any:
    if path.root not in scope:
        names = frozenset(scope)
        hint = name_hint(path.root, names)
        raise expression_error(f"unknown name {shown(path.root)}", source, path=path.root, keys=_keys(names), hint=hint)
    value = scope[path.root]
    for position, step in enumerate(path.steps):
        value, ended = _follow(path, position, step, value, source)
        if ended:
            return None
    return value


def _follow(path: Path, position: int, step: Step, value: Any, source: str) -> tuple[Any, bool]:
    """One step, and whether the path ends in null here."""
    nullable = path.nullable_steps
    if value is None and position == nullable:
        return None, True
    try:
        return cast("Any", value)[step], False
    except (KeyError, IndexError, TypeError):
        if nullable is not None and position < nullable:
            return None, True
        raise _missing(path, position, step, value, source) from None


def _missing(path: Path, position: int, step: Step, value: Any, source: str) -> NodeError:
    """Says what stands at the place where the path breaks, in types and keys only."""
    here, at = path.upto(position + 1), path.upto(position)
    if isinstance(value, Mapping):
        keys = _keys(cast("Mapping[str, Any]", value))
        message = f"{here}: {at} has no key {shown(step)}"
        return expression_error(f"{message}; it has {', '.join(keys) or 'none'}", source, path=here, keys=keys)
    if isinstance(step, int) and isinstance(value, Sequence):
        message = f"{here}: {at} has only {len(cast('Sequence[Any]', value))} elements"
        return expression_error(message, source, path=here)
    return expression_error(f"{here}: {at} is {type_name(value)} and has no {shown(step)}", source, path=here)


def _keys(mapping: Mapping[str, Any] | frozenset[str]) -> list[str]:
    """At most 20 keys, each cut to a readable length."""
    keys = [shown(key)[1:-1] for key in list(mapping)[:MAX_SHOWN_KEYS]]
    return [*keys, f"… ({len(mapping)} in all)"] if len(mapping) > MAX_SHOWN_KEYS else keys


def type_name(value: Any) -> str:
    """The type of JSON data in the words of JSON."""
    if value is None:
        return "null"
    known = {bool: "a boolean", int: "a number", float: "a number", str: "a text", list: "a list", dict: "a mapping"}
    return known.get(cast("type[Any]", type(value)), f"a {type(value).__name__}")


def _step_text(step: Step) -> str:
    if isinstance(step, int):
        return f"[{step}]"
    return f".{step}" if step.isidentifier() else f"[{step!r}]"
