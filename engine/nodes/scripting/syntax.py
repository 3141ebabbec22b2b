"""What can be known of a script without running it: its syntax, and what the sandbox does not understand."""

from __future__ import annotations

import ast
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

from engine.nodes.scripting.ports import Runtime

MODULES = frozenset(
    {"asyncio", "base64", "collections", "csv", "dataclasses", "datetime", "decimal", "functools", "hashlib"}
    | {"itertools", "json", "math", "os", "pathlib", "random", "re", "sys", "time", "typing"}
)
"""The modules that the sandbox has."""

_UNSUPPORTED: dict[str, str] = {
    "Yield": "yield",
    "YieldFrom": "yield from",
    "Delete": "del",
    "AsyncFor": "async for",
    "AsyncWith": "async with",
    "TryStar": "except*",
    "TypeAlias": "type aliases",
    "TemplateStr": "template strings",
}
_CPYTHON_HINT = "write it another way, or use runtime: cpython where the operator allows it"


@dataclass(frozen=True, slots=True)
class ScriptFault:
    """Something that is wrong with a script, and where: `line` counts from 1."""

    line: int
    message: str
    hint: str


def faults_of(code: str, runtime: Runtime) -> list[ScriptFault]:
    """What will keep the script from running, by line; nothing is executed."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(code)
            # Compiled too: `return` outside a function or a name that is both parameter and global is found only there.
            compile(code, "<script>", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT if runtime == "monty" else 0, True)
    except SyntaxError as error:
        return [ScriptFault(error.lineno or 1, error.msg, "")]
    except (RecursionError, MemoryError, ValueError) as error:
        return [ScriptFault(1, str(error) or "the script is nested too deeply", "")]
    return [] if runtime == "cpython" else sorted(_not_understood(tree), key=lambda fault: fault.line)


def _not_understood(tree: ast.Module) -> Iterator[ScriptFault]:
    """What Monty refuses before it runs the first line, and modules that it does not have.

    An import in a `try` may be there to be caught, so it is left alone.
    """
    caught = {id(inner) for node in ast.walk(tree) if isinstance(node, ast.Try) for inner in ast.walk(node)}
    for node in ast.walk(tree):
        named = _UNSUPPORTED.get(type(node).__name__) or _unsupported_form(node)
        if named is not None:
            yield ScriptFault(_line(node), f"the sandbox does not know {named}", _CPYTHON_HINT)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            yield from _imports(node, id(node) in caught)


def _unsupported_form(node: ast.AST) -> str | None:
    """What is special about a node whose kind the sandbox does know."""
    if isinstance(node, ast.ClassDef):
        return _unsupported_class(node)
    if isinstance(node, ast.comprehension) and node.is_async:
        return "async comprehensions"
    if isinstance(node, ast.AugAssign) and isinstance(node.op, ast.MatMult):
        return "@="
    return None


def _unsupported_class(node: ast.ClassDef) -> str | None:
    if node.bases or node.keywords:
        return "classes that inherit"
    for member in node.body:
        if isinstance(member, ast.ClassDef):
            return "classes within classes"
        if isinstance(member, ast.FunctionDef | ast.AsyncFunctionDef) and member.decorator_list:
            return "decorated methods"
    return None


def _line(node: ast.AST) -> int:
    """The line of a node; a part that has none takes that of what it holds."""
    return next((inner.lineno for inner in ast.walk(node) if isinstance(inner, ast.expr | ast.stmt)), 1)


def _imports(node: ast.Import | ast.ImportFrom, caught: bool) -> Iterator[ScriptFault]:
    if isinstance(node, ast.ImportFrom) and node.names[0].name == "*":
        yield ScriptFault(node.lineno, "the sandbox does not know wildcard imports", "name what you import")
        return
    names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or "."]
    for name in names:
        if name.partition(".")[0] not in MODULES and not caught:
            hint = f"it has {', '.join(sorted(MODULES))}; runtime: cpython has the standard library"
            yield ScriptFault(node.lineno, f"the sandbox has no module {name[:60]}", hint)
