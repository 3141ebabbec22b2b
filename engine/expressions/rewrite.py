"""Turns a parsed expression into the code that the sandbox runs.

Three things change. Every maximal plain path from a free name (`nodes.a.output.items`, `item.total`) becomes a
parameter `_sf_<k>`, so that only the data it names crosses into the sandbox and its meaning is that of
`engine.expressions.paths`. Attribute access on anything else becomes `_sf_get(x, "name")`, which is `x["name"]`,
unless it is called. f-strings become joins, because unparsing them differs between Python versions.
"""

from __future__ import annotations

import ast
import keyword
from typing import Any, cast

from engine.expressions.faults import DYNAMIC_NODE_REFERENCE, EXPRESSION_SYNTAX, UNKNOWN_NAME, ExpressionFault, nearest
from engine.expressions.names import BUILTINS, NODE_FIELDS, RESERVED_PREFIX
from engine.expressions.paths import Path, Step

_MUTATORS = frozenset(
    [
        "append",
        "extend",
        "insert",
        "remove",
        "pop",
        "clear",
        "sort",
        "reverse",
        "update",
        "setdefault",
        "popitem",
        "add",
        "discard",
        "difference_update",
        "intersection_update",
        "symmetric_difference_update",
    ]
)
_PLAIN_NODES = (
    ast.BoolOp, ast.BinOp, ast.UnaryOp, ast.IfExp, ast.Dict, ast.Set, ast.Compare, ast.Constant, ast.Starred, ast.List,
    ast.Tuple, ast.Slice, ast.keyword, ast.expr_context, ast.boolop, ast.operator, ast.unaryop, ast.cmpop,
)  # fmt: skip
_STATIC_HINT = "write nodes.<id>.output, .status, .error or .ports.<port>"


class Rewriter(ast.NodeTransformer):
    """Rewrites one expression; `paths` are its parameters in order, `bound` its names at each nesting of scopes."""

    def __init__(self, tree: ast.expr) -> None:
        self.paths: list[Path] = []
        self._positions: dict[Path, int] = {}
        self._mutates = any(isinstance(node, ast.Attribute) and node.attr in _MUTATORS for node in ast.walk(tree))
        self._bound: list[frozenset[str]] = [_walrus_names(tree)]

    def generic_visit(self, node: ast.AST) -> ast.AST:
        if not isinstance(node, _PLAIN_NODES):
            raise ExpressionFault(EXPRESSION_SYNTAX, f"{type(node).__name__} cannot stand in an expression")
        return super().generic_visit(node)

    def visit_Name(self, node: ast.Name) -> ast.AST:
        _check_name(node.id)
        if self._is_bound(node.id) or node.id in BUILTINS:
            return node
        return self._parameter(node)

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        parameter = self._parameter(node)
        if parameter is not node:
            return parameter
        return _call("_sf_get", cast("ast.expr", self.visit(node.value)), ast.Constant(node.attr))

    def visit_Subscript(self, node: ast.Subscript) -> ast.AST:
        parameter = self._parameter(node)
        if parameter is not node:
            return parameter
        return ast.Subscript(self.visit(node.value), self.visit(node.slice), node.ctx)

    def visit_Call(self, node: ast.Call) -> ast.AST:
        arguments = [cast("ast.expr", self.visit(argument)) for argument in node.args]
        keywords = [cast("ast.keyword", self.visit(keyword)) for keyword in node.keywords]
        return ast.Call(self._callee(node.func), arguments, keywords)

    def _callee(self, function: ast.expr) -> ast.expr:
        """A called attribute is a method, also on a mapping that has such a key."""
        if not isinstance(function, ast.Attribute):
            return cast("ast.expr", self.visit(function))
        if keyword.iskeyword(function.attr):
            raise ExpressionFault(EXPRESSION_SYNTAX, f"there is no method {function.attr!r}")
        if function.attr.startswith("_"):
            raise ExpressionFault(
                UNKNOWN_NAME, f"methods that begin with an underscore are not available: {function.attr}"
            )
        return ast.Attribute(self.visit(function.value), function.attr, ast.Load())

    def visit_NamedExpr(self, node: ast.NamedExpr) -> ast.AST:
        _check_name(node.target.id)
        return ast.NamedExpr(node.target, self.visit(node.value))

    def visit_Lambda(self, node: ast.Lambda) -> ast.AST:
        given = node.args
        every = [*given.posonlyargs, *given.args, *given.kwonlyargs]
        names = [argument.arg for argument in [*every, given.vararg, given.kwarg] if argument is not None]
        for name in names:
            _check_name(name)
        given.defaults = [self.visit(default) for default in given.defaults]
        given.kw_defaults = [default and self.visit(default) for default in given.kw_defaults]
        body = self._within(frozenset(names), node.body)
        return ast.Lambda(given, body)

    def visit_ListComp(self, node: ast.ListComp) -> ast.AST:
        return self._comprehension(node)

    def visit_SetComp(self, node: ast.SetComp) -> ast.AST:
        return self._comprehension(node)

    def visit_DictComp(self, node: ast.DictComp) -> ast.AST:
        return self._comprehension(node)

    def visit_GeneratorExp(self, node: ast.GeneratorExp) -> ast.AST:
        return self._comprehension(node)

    def _comprehension(self, node: Any) -> ast.AST:
        """The first iterable belongs to the scope around; all else sees the targets."""
        generators = cast("list[ast.comprehension]", node.generators)
        names: set[str] = set()
        for part in generators:
            if part.is_async:
                raise ExpressionFault(EXPRESSION_SYNTAX, "an expression cannot be asynchronous")
            names |= _target_names(part.target)
        generators[0].iter = self.visit(generators[0].iter)
        inner = frozenset(names)
        for position, part in enumerate(generators):
            if position:
                part.iter = self._within(inner, part.iter)
            part.ifs = [self._within(inner, condition) for condition in part.ifs]
        for field in ("elt", "key", "value"):
            if hasattr(node, field):
                setattr(node, field, self._within(inner, getattr(node, field)))
        return node

    def visit_JoinedStr(self, node: ast.JoinedStr) -> ast.AST:
        return _call_method(ast.Constant(""), "join", ast.List([self._piece(part) for part in node.values], ast.Load()))

    def _piece(self, part: ast.expr) -> ast.expr:
        if not isinstance(part, ast.FormattedValue):
            return part
        value = cast("ast.expr", self.visit(part.value))
        if part.conversion == ord("a"):
            raise ExpressionFault(EXPRESSION_SYNTAX, "the conversion !a is not available", "use !r")
        if part.conversion != -1:
            value = _call("_sf_repr" if part.conversion == ord("r") else "_sf_str", value)
        specification = cast("ast.expr", self.visit(part.format_spec)) if part.format_spec else ast.Constant("")
        return _call("_sf_format", value, specification)

    def _within(self, names: frozenset[str], body: ast.expr) -> ast.expr:
        self._bound.append(names)
        try:
            return cast("ast.expr", self.visit(body))
        finally:
            self._bound.pop()

    def _is_bound(self, name: str) -> bool:
        return any(name in names for names in self._bound)

    def _parameter(self, node: ast.expr) -> ast.expr:
        """The parameter that stands for a plain path, or the node itself when it is none."""
        path = static_path(node)
        if path is None or self._is_bound(path.root) or path.root in BUILTINS:
            return node
        _check_name(path.root)
        check_node_reference(path)
        position = self._positions.setdefault(path, len(self.paths))
        if position == len(self.paths):
            self.paths.append(path)
        name = ast.Name(f"{RESERVED_PREFIX}{position}", ast.Load())
        # Parameters are shared between the expressions of a batch: one that may mutate works on its own copy.
        return _call("_sf_copy", name) if self._mutates else name


def static_path(node: ast.expr) -> Path | None:
    """The plain path that a syntax tree spells, if it does."""
    steps: list[Step] = []
    while not isinstance(node, ast.Name):
        if isinstance(node, ast.Attribute):
            steps.append(node.attr)
            node = node.value
        elif isinstance(node, ast.Subscript) and (step := _constant_step(node.slice)) is not None:
            steps.append(step)
            node = node.value
        else:
            return None
    return Path(node.id, tuple(reversed(steps)))


def _constant_step(node: ast.expr) -> Step | None:
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        inner = _constant_step(node.operand)
        return -inner if isinstance(inner, int) else None
    if isinstance(node, ast.Constant) and type(node.value) in (str, int):
        return cast("Step", node.value)
    return None


def check_node_reference(path: Path) -> None:
    """Raises: ExpressionFault if `nodes` is used in any way but `nodes.<id>.<field>`."""
    if path.root != "nodes":
        return
    if len(path.steps) < 2 or not all(isinstance(step, str) for step in path.steps[:2]):
        raise ExpressionFault(
            DYNAMIC_NODE_REFERENCE, f"{path.text} does not name a node and a field of it", _STATIC_HINT
        )
    field = cast("str", path.steps[1])
    if field not in NODE_FIELDS:
        hint = nearest(field, NODE_FIELDS) or _STATIC_HINT
        raise ExpressionFault(DYNAMIC_NODE_REFERENCE, f"{path.text}: a node has no {field!r}", hint)
    if field == "ports" and (len(path.steps) < 3 or not isinstance(path.steps[2], str)):
        raise ExpressionFault(DYNAMIC_NODE_REFERENCE, f"{path.text} does not name a port", _STATIC_HINT)


def _check_name(name: str) -> None:
    if name.startswith((RESERVED_PREFIX, "__")):
        raise ExpressionFault(UNKNOWN_NAME, f"names that begin like {name!r} are not available in expressions")


def _walrus_names(tree: ast.expr) -> frozenset[str]:
    return frozenset(node.target.id for node in ast.walk(tree) if isinstance(node, ast.NamedExpr))


def _target_names(target: ast.expr) -> set[str]:
    """Names that a comprehension binds; anything else cannot be a target here."""
    if isinstance(target, ast.Name):
        _check_name(target.id)
        return {target.id}
    if isinstance(target, ast.Starred):
        return _target_names(target.value)
    if isinstance(target, ast.Tuple | ast.List):
        return {name for element in target.elts for name in _target_names(element)}
    raise ExpressionFault(EXPRESSION_SYNTAX, "a comprehension may only bind names")


def _call(function: str, *arguments: ast.expr) -> ast.Call:
    return ast.Call(ast.Name(function, ast.Load()), list(arguments), [])


def _call_method(receiver: ast.expr, method: str, argument: ast.expr) -> ast.Call:
    return ast.Call(ast.Attribute(receiver, method, ast.Load()), [argument], [])
