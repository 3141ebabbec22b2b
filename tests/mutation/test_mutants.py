"""What is changed and what is left alone, and that a trial tells a mutant that tests notice from one they do not."""

from __future__ import annotations

import ast
import os
import subprocess
import sys

import pytest

from tests.mutation.mutants import mutants_of, mutated
from tests.mutation.targets import GROUPS, ROOT


def changed(source: str) -> set[str]:
    """The source after each of its mutants."""
    return {ast.unparse(mutated(source, mutant.number)) for mutant in mutants_of(source)}


@pytest.mark.parametrize(
    ("source", "mutants"),
    [
        ("x = a < b", {"x = a <= b"}),
        ("x = a == b == c", {"x = a != b == c", "x = a == b != c"}),
        ("x = a and b", {"x = a or b"}),
        ("x = not a", {"x = a"}),
        ("x = a + 1", {"x = a - 1", "x = a + 2"}),
        ("x = True", {"x = False"}),
        ("x = 'a'", {"x = 'ax'"}),
        ("x = max(a, b)", {"x = min(a, b)"}),
        ("x = {A.b, A.c}", {"x = {A.c}", "x = {A.b}"}),
        ("x = {A.b: c}", {"x = {}"}),
        ("x = ('a', 'b')", {"x = ('b',)", "x = ('a',)", "x = ('ax', 'b')", "x = ('a', 'bx')"}),
        ("if a():\n    b()", {"if not a():\n    b()", "if a():\n    pass"}),
        ("a.b = c", {"pass"}),
        ("a += c", {"pass", "a -= c"}),
        ("del a[b]", {"pass"}),
        ("def f():\n    return a", {"def f():\n    return None"}),
        ("while a:\n    break", {"while not a:\n    break", "while a:\n    continue"}),
        ("raise E('why')", {"pass"}),
    ],
)
def test_each_kind_of_change(source: str, mutants: set[str]) -> None:
    assert changed(source) == mutants


@pytest.mark.parametrize(
    "source",
    [
        '"""A docstring."""',
        "__slots__ = ('a', 'b')",
        "x: int | str",
        "def f(a: int | None) -> 'A': ...",
        "x = cast('A', y)",
        "x = f'{a} b'",
        "@dataclass(frozen=True)\nclass A: ...",
        "x, y = (a, b)",
    ],
)
def test_what_nothing_depends_on_is_left_alone(source: str) -> None:
    assert changed(source) == set()


def test_every_group_has_sources_and_tests_that_there_are() -> None:
    for group in GROUPS:
        assert group.sources()
        for stage in group.stages:
            assert [path for path in stage.tests if not (ROOT / path).exists()] == []


def test_a_trial_tells_what_tests_notice() -> None:
    """In a process of its own, for what is mutated must not be loaded before."""
    program = """
import ast
from pathlib import Path
from tests.mutation.targets import ROOT
from tests.mutation.trial import start

path, tests = ROOT / "models/roles.py", ["tests/mutation/sample_roles.py"]
source = path.read_text()
for change in (("rank >= wanted", "rank > wanted"), ("start=1", "start=2"), ("", "")):
    print(start(tests, path, ast.parse(source.replace(*change)), None, 60).wait(120).word)
"""
    found = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True,
        text=True, check=False, timeout=300,
    )  # fmt: skip
    assert found.stdout.split() == ["killed", "survived", "survived"], found.stderr
