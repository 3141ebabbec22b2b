"""The interpreter and the graph core give the same answer each time: no clock, no chance, no files, no set order.

The interpreter runs outside Temporal's sandbox, which would otherwise watch over this.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
SOURCES = sorted([*(ROOT / "engine" / "dag").rglob("*.py"), *(ROOT / "engine" / "workflows").rglob("*.py")])
FORBIDDEN_MODULES = {"time", "random", "secrets", "os", "socket", "subprocess", "threading", "uuid", "tempfile"}
FORBIDDEN_CALLS = {"open", "input", "id", "hash"}
FORBIDDEN_METHODS = {"now", "utcnow", "today", "uuid1", "uuid4", "urandom", "getenv", "wait", "as_completed", "gather"}
OURS = {"self", "driver", "workflow"}  # whose `now` is Temporal's


def faults(source: str) -> list[str]:
    """What in a module could differ from one replay to the next, as `line: what`."""
    tree = ast.parse(source)
    sets = _set_names(tree)
    return [f"{getattr(node, 'lineno', 0)}: {fault}" for node in ast.walk(tree) for fault in _faults_of(node, sets)]


def _faults_of(node: ast.AST, sets: set[str]) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (f"imports {name.name}" for name in node.names if name.name.split(".")[0] in FORBIDDEN_MODULES)
    elif isinstance(node, ast.ImportFrom):
        if node.level == 0 and (node.module or "").split(".")[0] in FORBIDDEN_MODULES:
            yield f"imports from {node.module}"
    elif isinstance(node, ast.Call):
        yield from _call_faults(node, sets)
    elif isinstance(node, ast.For | ast.comprehension) and _is_set(node.iter, sets):
        yield "iterates a set"


def _call_faults(node: ast.Call, sets: set[str]) -> Iterator[str]:
    called = node.func
    if isinstance(called, ast.Name):
        if called.id in FORBIDDEN_CALLS:
            yield f"calls {called.id}()"
        if called.id in ("list", "tuple", "iter", "enumerate") and node.args and _is_set(node.args[0], sets):
            yield f"makes a {called.id} of a set"
    elif isinstance(called, ast.Attribute) and called.attr in FORBIDDEN_METHODS and not _is_ours(called.value):
        yield f"calls .{called.attr}()"


def _is_ours(node: ast.AST) -> bool:
    return isinstance(node, ast.Name) and node.id in OURS


def _is_set(node: ast.AST, sets: set[str]) -> bool:
    if isinstance(node, ast.Set | ast.SetComp):
        return True
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        return node.func.id in ("set", "frozenset")
    if isinstance(node, ast.BinOp):
        return _is_set(node.left, sets) or _is_set(node.right, sets)
    return isinstance(node, ast.Name) and node.id in sets


def _set_names(tree: ast.AST) -> set[str]:
    """Names that the module binds to a set, or declares as one."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and _is_set(node.value, set()):
            found |= {target.id for target in node.targets if isinstance(target, ast.Name)}
        elif isinstance(node, ast.AnnAssign | ast.arg) and node.annotation is not None:
            name = node.arg if isinstance(node, ast.arg) else getattr(node.target, "id", "")
            if ast.unparse(node.annotation).split("[")[0] in ("set", "frozenset", "Set"):
                found.add(name)
    return found


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_module_is_deterministic(path: Path) -> None:
    found = faults(path.read_text())
    if path.is_relative_to(ROOT / "engine" / "dag" / "validate"):
        found = [fault for fault in found if "set" not in fault.split(": ")[1]]  # runs at save time, never in a replay
    assert found == []


@pytest.mark.parametrize(
    "source",
    [
        "import time",
        "from random import choice",
        "import os.path",
        "datetime.now()",
        "uuid4 = uuid.uuid4()",
        "open('x')",
        "for x in {1, 2}: pass",
        "for x in set(y): pass",
        "found = set()\nfor x in found: pass",
        "def f(found: set[int]):\n    return [x for x in found]",
        "list({1} | other)",
        "await asyncio.wait(tasks)",
    ],
)
def test_lint_sees_what_it_forbids(source: str) -> None:
    assert faults(source) != []


@pytest.mark.parametrize("source", ["for x in sorted({1, 2}): pass", "self.now()", "x in {1, 2}", "for x in [1]: pass"])
def test_lint_lets_the_rest_pass(source: str) -> None:
    assert faults(source) == []
