"""Every decision names a check, and the check is there."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from tests.docs.pages import DECISIONS, ROOT

_TEST = re.compile(r"^- `(tests/[\w/]+\.py)::(test_\w+)`$")
_CONTRACT = re.compile(r'^- `pyproject\.toml`: contract "(.+)"$')
SECTIONS = ["Context", "Decision", "Consequence", "Check"]


def contracts() -> set[str]:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    return {contract["name"] for contract in settings["tool"]["importlinter"]["contracts"]}


def exists(check: str) -> bool:
    if match := _CONTRACT.match(check):
        return match[1] in contracts()
    match = _TEST.match(check)
    if match is None or not (ROOT / match[1]).exists():
        return False
    return re.search(rf"^(async )?def {match[2]}\(", (ROOT / match[1]).read_text("utf-8"), re.MULTILINE) is not None


@pytest.mark.parametrize("path", DECISIONS, ids=lambda path: path.stem)
def test_a_decision_has_its_four_parts_and_checks_that_exist(path: Path) -> None:
    text = path.read_text("utf-8")
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == SECTIONS
    checks = [line for line in text.partition("## Check\n")[2].splitlines() if line]
    assert checks != []
    assert [check for check in checks if not exists(check)] == []


def test_a_check_that_does_not_exist_is_noticed() -> None:
    assert not exists("- `tests/docs/test_decisions.py::test_nothing_of_this_name`")
    assert not exists('- `pyproject.toml`: contract "Nothing of this name"')
    assert not exists("- by care")


def test_decisions_are_numbered_without_gaps_and_titled_by_their_number() -> None:
    assert [path.name[:4] for path in DECISIONS] == [f"{number:04d}" for number in range(1, len(DECISIONS) + 1)]
    for path in DECISIONS:
        assert path.read_text("utf-8").startswith(f"# {path.name[:4]}: ")
