"""Templates: JSON trees whose strings may hold `{{ }}`, compiled once and filled many times.

A string that is one whole `{{ }}` keeps the type of its value. Otherwise the parts are joined: null is nothing,
text stands as it is, everything else as compact JSON. Keys of mappings are never templates.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from engine.errors import NodeError
from engine.expressions.faults import EXPRESSION_SYNTAX, ExpressionFault, expression_error, located
from engine.expressions.parse import Expression, parse_expression
from engine.expressions.paths import resolve
from engine.expressions.scan import Part, split_text

Results = Iterator[Any]


@dataclass(frozen=True, slots=True)
class Leaf:
    """A string of the tree that holds expressions. `whole` says that its single part keeps its type."""

    parts: tuple[Part, ...]
    whole: bool
    location: str

    def fill(self, scope: Mapping[str, Any], results: Results) -> Any:
        if self.whole:
            return self._part(self.parts[0], scope, results)
        return "".join(self._text(part, scope, results) for part in self.parts)

    def _text(self, part: Part, scope: Mapping[str, Any], results: Results) -> str:
        if isinstance(part, str):
            return part
        value = self._part(part, scope, results)
        try:
            return as_text(value)
        except (RecursionError, TypeError, ValueError):
            raise located(expression_error("the value cannot be written as text", part.source), self.location) from None

    def _part(self, part: Part, scope: Mapping[str, Any], results: Results) -> Any:
        if isinstance(part, str):
            return part
        try:
            if part.path is not None:
                return resolve(part.path, scope, part.source)
            if part.constant:
                return part.value
            result = next(results)
            if isinstance(result, NodeError):
                raise result
        except NodeError as error:
            raise located(error, self.location) from None
        return result


@dataclass(frozen=True, slots=True)
class Template:
    """A compiled tree. `computed` are the expressions for the sandbox, in the order `fill` takes their results."""

    tree: Any
    constant: bool
    computed: tuple[Expression, ...] = ()
    expressions: tuple[Expression, ...] = field(default=())

    def fill(self, scope: Mapping[str, Any], results: Results) -> Any:
        """The tree with every expression replaced by its value.

        Raises: NodeError EXPRESSION_ERROR with `location`, the place in the tree, in its details.
        """
        return self.tree if self.constant else _fill(self.tree, scope, results)


def _fill(node: Any, scope: Mapping[str, Any], results: Results) -> Any:
    kind: type[Any] = type(node)
    if kind is Leaf:
        return node.fill(scope, results)
    if kind is dict:
        return {key: _fill(item, scope, results) for key, item in node.items()}
    if kind is list:
        return [_fill(item, scope, results) for item in node]
    return node


def compile_template(tree: Any) -> Template:
    """Compile a JSON tree.

    Raises: NodeError EXPRESSION_ERROR for the first expression that cannot be used.
    """
    found: list[Expression] = []
    compiled = _compile(tree, "", found)
    computed = tuple(expression for expression in found if expression.computed)
    return Template(compiled, constant=not found, computed=computed, expressions=tuple(found))


def _compile(node: Any, location: str, found: list[Expression]) -> Any:
    if isinstance(node, str):
        return _compile_text(node, location, found)
    if isinstance(node, dict):
        members = cast("dict[str, Any]", node)
        return {key: _compile(item, member_location(location, key), found) for key, item in members.items()}
    if isinstance(node, list | tuple):
        items = cast("list[Any]", node)
        return [_compile(item, f"{location}[{index}]", found) for index, item in enumerate(items)]
    return node


def _compile_text(text: str, location: str, found: list[Expression]) -> Any:
    if "{{" not in text:
        return text
    try:
        parts = split_text(text)
    except ExpressionFault as fault:
        raise located(fault.as_error(text), location) from None
    if len(parts) == 1 and isinstance(parts[0], str):
        return parts[0]
    found += [part for part in parts if isinstance(part, Expression)]
    return Leaf(tuple(parts), len(parts) == 1, location)


def member_location(location: str, key: object) -> str:
    """`location` extended by a key, as documents are addressed: `params.headers["x-id"]`."""
    name = str(key)
    if not name.isidentifier():
        return f"{location}[{json.dumps(name)}]"
    return f"{location}.{name}" if location else name


def compile_expression(text: Any) -> Expression:
    """Compile an expression parameter: bare, or one whole `{{ }}`; what is no text is a constant.

    Raises: NodeError EXPRESSION_ERROR.
    """
    try:
        return read_expression(text)
    except ExpressionFault as fault:
        raise fault.as_error(str(text)) from None


def read_expression(text: Any) -> Expression:
    """The same for callers that make issues of faults.

    Raises: ExpressionFault.
    """
    if not isinstance(text, str):
        return Expression(json.dumps(text), constant=True, value=text)
    if not text.lstrip().startswith("{{"):
        return parse_expression(text)
    parts = split_text(text.strip())
    if len(parts) == 1 and isinstance(parts[0], Expression):
        return parts[0]
    raise ExpressionFault(EXPRESSION_SYNTAX, "an expression is needed here, not a text", "write one whole {{ }}")


def as_text(value: Any) -> str:
    """A value inside a longer text."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
