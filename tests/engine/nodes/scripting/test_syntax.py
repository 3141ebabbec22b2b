import asyncio

import pytest

from engine.expressions.script_pool import ScriptPool
from engine.nodes.scripting.syntax import MODULES, faults_of

REFUSED = [
    "def f():\n    yield 1",
    "def f():\n    yield from []",
    "x = 1\ndel x",
    "async def f():\n    async for x in y: pass",
    "async def f():\n    async with y: pass",
    "try:\n    pass\nexcept* ValueError:\n    pass",
    "class E(Exception):\n    pass",
    "class A:\n    @property\n    def x(self):\n        return 1",
    "class A:\n    class B:\n        pass",
    "async def f():\n    return [\n        x async for x in y\n    ]",
    "x @= y",
    "from math import *",
    "import socket",
    "from subprocess import run",
]


@pytest.mark.parametrize("code", REFUSED)
def test_what_the_sandbox_does_not_understand_is_a_fault_with_its_line(code: str) -> None:
    faults = faults_of(f"x = 1\n{code}", "monty")
    assert len(faults) == 1
    assert faults[0].line in (2, 3, 4)
    assert "cpython" in faults[0].hint or "name what you import" in faults[0].hint


@pytest.mark.parametrize("code", REFUSED)
def test_python_itself_understands_it(code: str) -> None:
    assert faults_of(code, "cpython") == []


@pytest.mark.parametrize(
    ("code", "line"), [("x = (", 1), ("x = 1\n  y = 2", 2), ("return 1", 1), ("a\0b", 1), ("((" * 500 + "))" * 500, 1)]
)
def test_syntax_errors_have_their_line(code: str, line: int) -> None:
    for runtime in ("monty", "cpython"):
        assert [fault.line for fault in faults_of(code, runtime)] == [line]


def test_import_that_may_be_caught_is_left_alone() -> None:
    assert faults_of("try:\n    import socket\nexcept ImportError:\n    pass", "monty") == []


async def test_named_modules_are_those_that_the_sandbox_has() -> None:
    async with ScriptPool(processes=1) as pool:
        for module in MODULES:
            assert (await pool.run(f"import {module}\n1", {}, timeout_s=1, memory_bytes=64 << 20))[0] == 1


async def test_what_is_called_a_fault_does_fail() -> None:
    async with ScriptPool(processes=2) as pool:
        runs = [pool.run(code, {"y": None}, timeout_s=1, memory_bytes=64 << 20) for code in REFUSED]
        outcomes = await asyncio.gather(*runs, return_exceptions=True)
    assert [type(outcome).__name__ for outcome in outcomes] == ["NodeError"] * len(REFUSED)
