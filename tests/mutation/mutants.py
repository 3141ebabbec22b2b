"""Small changes to a module's source, one at a time: what a test suite that is worth something must notice.

Left alone is what nothing depends on: docstrings, annotations, the words of error messages, `__all__` and `__slots__`.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

_COMPARED: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
_COUNTED: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.BitOr: ast.BitAnd,
    ast.BitAnd: ast.BitOr,
}
_SWAPPED = {"min": "max", "max": "min", "any": "all", "all": "any"}
_UNSEEN = ("annotation", "returns", "type_params", "decorator_list")
_OPERATED = (ast.Compare, ast.BoolOp, ast.UnaryOp, ast.Constant)  # they are changed themselves
_OF_TYPES = ("cast", "TypeVar")
_LISTED = ("__all__", "__slots__")


@dataclass(frozen=True, slots=True)
class Mutant:
    """One change, numbered within its module."""

    number: int
    line: int
    text: str


@dataclass(frozen=True, slots=True)
class _Site:
    line: int
    text: str
    apply: Callable[[], None]


@dataclass(frozen=True, slots=True)
class _Place:
    """A node, and how to put another one in its place."""

    node: ast.AST
    put: Callable[[Any], None]
    in_error: bool


def mutants_of(source: str) -> list[Mutant]:
    """Every change that can be made to a module."""
    sites = _sites(ast.parse(source))
    return [Mutant(number, site.line, site.text) for number, site in enumerate(sites)]


def mutated(source: str, number: int) -> ast.Module:
    """The module with one change. Raises: IndexError if there is no such mutant."""
    tree = ast.parse(source)
    [*_sites(tree)][number].apply()
    return ast.fix_missing_locations(tree)


def _sites(tree: ast.Module) -> Iterator[_Site]:
    # All places first: what is found in a changed tree would depend on the change.
    for place in [*_places(tree, in_error=False)]:
        for text, apply in _changes(place):
            yield _Site(getattr(place.node, "lineno", 0), text, apply)


def _places(node: ast.AST, *, in_error: bool) -> Iterator[_Place]:
    for name, value in ast.iter_fields(node):
        if name in _UNSEEN or isinstance(node, ast.JoinedStr):
            continue
        items = enumerate(value) if isinstance(value, list) else [(None, value)]
        for index, child in items:
            if not isinstance(child, ast.AST) or _is_left_alone(node, child):
                continue
            inside = in_error or isinstance(child, ast.Raise)
            yield _Place(child, _setter(node, name, index), inside)
            yield from _places(child, in_error=inside)


def _setter(parent: ast.AST, name: str, index: int | None) -> Callable[[Any], None]:
    def put(node: Any) -> None:
        if index is None:
            setattr(parent, name, node)
        else:
            getattr(parent, name)[index] = node

    return put


def _is_left_alone(parent: ast.AST, node: ast.AST) -> bool:
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return True  # a docstring
    if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
        return True
    if isinstance(parent, ast.Call) and isinstance(parent.func, ast.Name) and parent.func.id in _OF_TYPES:
        return isinstance(node, ast.Constant)  # a type, or its name
    targets = node.targets if isinstance(node, ast.Assign) else []
    return any(isinstance(target, ast.Name) and target.id in _LISTED for target in targets)


def _changes(place: _Place) -> Iterator[tuple[str, Callable[[], None]]]:
    node = place.node
    if isinstance(node, ast.stmt):
        yield from _of_statement(node, place)
    elif isinstance(node, ast.expr):
        yield from _of_expression(node, place)
    if isinstance(node, ast.If | ast.While | ast.IfExp) and not isinstance(node.test, _OPERATED):
        yield f"if not {ast.unparse(node.test)}", lambda: setattr(node, "test", ast.UnaryOp(ast.Not(), node.test))


def _of_statement(node: ast.stmt, place: _Place) -> Iterator[tuple[str, Callable[[], None]]]:
    shown = ast.unparse(node).splitlines()[0][:70]
    if isinstance(node, ast.Return) and node.value is not None and not _is_none(node.value):
        yield f"return None for {shown}", lambda: place.put(ast.Return(ast.Constant(None)))
    elif isinstance(node, ast.Raise | ast.Delete) or (
        isinstance(node, ast.Expr) and isinstance(node.value, ast.Call | ast.Await)
    ):
        yield f"no {shown}", lambda: place.put(ast.Pass())
    elif isinstance(node, ast.Break | ast.Continue):
        other = ast.Continue() if isinstance(node, ast.Break) else ast.Break()
        yield f"{ast.unparse(other)} for {shown}", lambda: place.put(other)
    elif isinstance(node, ast.Assign) and all(isinstance(one, ast.Attribute | ast.Subscript) for one in node.targets):
        yield f"no {shown}", lambda: place.put(ast.Pass())
    elif isinstance(node, ast.AugAssign):
        yield f"no {shown}", lambda: place.put(ast.Pass())
        if type(node.op) in _COUNTED:
            yield f"the contrary of {shown}", lambda: setattr(node, "op", _COUNTED[type(node.op)]())


def _of_expression(node: ast.expr, place: _Place) -> Iterator[tuple[str, Callable[[], None]]]:
    if isinstance(node, ast.Compare):
        for index, operator in enumerate(node.ops):
            other = _COMPARED[type(operator)]()
            text = f"{type(other).__name__} in {ast.unparse(node)[:70]}"
            yield text, lambda index=index, other=other: node.ops.__setitem__(index, other)
    elif isinstance(node, ast.BoolOp):
        other_word = ast.Or() if isinstance(node.op, ast.And) else ast.And()
        yield f"{type(other_word).__name__} in {ast.unparse(node)[:70]}", lambda: setattr(node, "op", other_word)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield f"no not in {ast.unparse(node)[:70]}", lambda: place.put(node.operand)
    elif isinstance(node, ast.BinOp) and type(node.op) in _COUNTED:
        text = f"{_COUNTED[type(node.op)].__name__} in {ast.unparse(node)[:70]}"
        yield text, lambda: setattr(node, "op", _COUNTED[type(node.op)]())
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _SWAPPED:
        name = node.func
        yield f"{_SWAPPED[name.id]} for {name.id}", lambda: setattr(name, "id", _SWAPPED[name.id])
    elif isinstance(node, ast.Constant) and not place.in_error:
        yield from _of_constant(node)
    elif isinstance(node, ast.Set | ast.Dict | ast.List | ast.Tuple):
        yield from _of_members(node)


def _of_constant(node: ast.Constant) -> Iterator[tuple[str, Callable[[], None]]]:
    value = node.value
    if isinstance(value, bool):
        yield f"{not value} for {value}", lambda: setattr(node, "value", not value)
    elif isinstance(value, int | float):
        yield f"{value + 1} for {value}", lambda: setattr(node, "value", value + 1)
    elif isinstance(value, str | bytes) and value:
        other = value + (b"x" if isinstance(value, bytes) else "x")  # pyright: ignore[reportOperatorIssue]
        yield f"{other!r} for {value!r}"[:90], lambda: setattr(node, "value", other)


def _of_members(node: ast.Set | ast.Dict | ast.List | ast.Tuple) -> Iterator[tuple[str, Callable[[], None]]]:
    """One member fewer, where the members are alike: a tuple that is taken apart elsewhere would only break."""
    if isinstance(node, ast.Dict):
        for index, key in enumerate(node.keys):
            if key is not None:
                yield f"no {ast.unparse(key)}", lambda index=index: _drop(node, index)
    elif len(node.elts) > 1 and _are_alike(node):
        for index, member in enumerate(node.elts):
            yield f"no {ast.unparse(member)}", lambda index=index: node.elts.__delitem__(index)


def _drop(node: ast.Dict, index: int) -> None:
    del node.keys[index], node.values[index]


def _are_alike(node: ast.Set | ast.List | ast.Tuple) -> bool:
    return isinstance(node, ast.Set) or all(isinstance(one, ast.Constant) for one in node.elts)


def _is_none(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None
